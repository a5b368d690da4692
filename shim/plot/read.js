'use strict';
/* Reads the timelines. Each piece of one is in a <script type="application/json"> of the page, in the form of the file: one
 * event a line. eat() is called behind each piece, while the browser still loads the rest, and removes it, so that the text
 * is not kept beside the numbers made of it.
 *
 * Names in a timeline are chosen by whoever has named a library or a thread. They reach the page only as text (textContent,
 * fillText), never as markup. */

/* What a span or a mark is. `layer`: bar (what a thread does with the GIL: one thing at a time), strip (the attached state),
 * over (drawn over the bar), mark (a moment). `style`: the name of its colour. */
const KINDS = [];
const KIND = {};
function addKind(key, layer, style, text) {
    KIND[key] = KINDS.length;
    KINDS.push({ layer, style, text, names: new Set() }); /* names: of the events that are of this kind */
}
const HOLD_COLOURS = 6; /* interpreters beyond that share them */
for (let i = 0; i < HOLD_COLOURS; i++) {
    addKind('hold' + i, 'bar', 'hold-' + i, 'holds the GIL');
}
addKind('wait', 'bar', 'wait', 'waits for it');
addKind('stuck', 'bar', 'stuck', 'waits to the end');
addKind('dropped', 'bar', 'dropped', 'events lost here');
addKind('state', 'strip', 'state', 'thread state attached');
addKind('deadlock', 'over', 'deadlock', 'deadlock');
addKind('other', 'over', 'other', 'other');
addKind('repair', 'mark', 'repair', 'repaired');
addKind('misuse', 'mark', 'misuse', 'misuse');
addKind('note', 'mark', 'note', 'other moment');
const isHold = (kind) => kind < HOLD_COLOURS;
const isWait = (kind) => kind === KIND.wait || kind === KIND.stuck;

/* Each different string once; everything else has its number. 0 is the empty one. */
const strings = [''];
const numberOfString = new Map([['', 0]]);
function intern(string) {
    let number = numberOfString.get(string);
    if (number === undefined) {
        number = strings.length;
        strings.push(string);
        numberOfString.set(string, number);
    }
    return number;
}

/* The spans of one layer of a thread, as columns of numbers: a million objects would take half a gigabyte. Times are in
 * microseconds since `timeBase`. */
const COLUMNS = {
    start: Float64Array, end: Float64Array, kind: Uint8Array, name: Uint32Array, call: Uint32Array, by: Uint32Array,
    state: Uint32Array, gil: Int32Array, lost: Float64Array,
};
class Spans {
    constructor() {
        this.count = 0;
        this.room = 0;
    }
    grow(room) {
        for (const column of Object.keys(COLUMNS)) {
            const larger = new COLUMNS[column](room);
            if (this.room) {
                larger.set(this[column]);
            }
            this[column] = larger;
        }
        this.room = room;
    }
    add(start, end, kind, name, args) {
        if (this.count === this.room) {
            this.grow(this.room ? this.room * 2 : 8);
        }
        const i = this.count++;
        this.start[i] = start;
        this.end[i] = end;
        this.kind[i] = kind;
        this.name[i] = name;
        this.call[i] = typeof args.call === 'string' ? intern(args.call) : 0;
        this.by[i] = typeof args.by === 'string' ? intern(args.by) : 0;
        this.state[i] = typeof args.state === 'string' ? intern(args.state) : 0;
        this.gil[i] = Number.isInteger(args.gil) ? args.gil : -1;
        this.lost[i] = Number.isInteger(args.events) ? args.events : 0;
    }
}

/* Files given on the command line, in their order: {name, pid, threads: Map from tid to lane}. */
const processes = [];
let timeBase = NaN;
let eventCount = 0;
let unreadable = 0; /* lines: the last one of a file whose writer died, for example */

function laneOf(process, tid) {
    let lane = process.threads.get(tid);
    if (!lane) {
        lane = { process, tid, name: '', bar: new Spans(), strip: new Spans(), over: new Spans(), mark: new Spans() };
        process.threads.set(tid, lane);
    }
    return lane;
}

/* Returns the kind of an event by its name, as shim/diagnose/timeline_track.c writes them. */
const kindOfName = new Map();
function kindOf(event, args) {
    const isMark = event.ph === 'i';
    const key = isMark ? 'i' + event.name : event.name;
    let kind = kindOfName.get(key);
    if (kind === undefined) {
        const { name } = event;
        const gil = Number.isInteger(args.gil) && args.gil > 0 ? args.gil : 0;
        kind = isMark ? (name.startsWith('repaired') ? KIND.repair : name.startsWith('misuse') ? KIND.misuse : KIND.note)
            : name.startsWith('holds the GIL') ? KIND.hold0 + gil % HOLD_COLOURS
            : name === 'attached' ? KIND.hold0 /* a build without the GIL: many threads at the same time */
            : /^waits for (the GIL|a pause)/.test(name) ? (name.endsWith('to the end') ? KIND.stuck : KIND.wait)
            : name === 'state attached' ? KIND.state
            : name === 'dropped' ? KIND.dropped
            : name.startsWith('deadlock') ? KIND.deadlock : KIND.other;
        kindOfName.set(key, kind);
        KINDS[kind].names.add(name);
    }
    return kind;
}

const NO_ARGUMENTS = {};
function addEvent(process, event) {
    if (event === null || typeof event !== 'object' || typeof event.name !== 'string' || !Number.isSafeInteger(event.tid)) {
        return false;
    }
    const args = event.args !== null && typeof event.args === 'object' ? event.args : NO_ARGUMENTS;
    if (event.ph === 'M') {
        if (typeof args.name === 'string') {
            if (event.name === 'process_name') {
                process.name = args.name;
                process.pid = event.pid;
            } else if (event.name === 'thread_name') {
                laneOf(process, event.tid).name = args.name;
            }
        }
        return true;
    }
    const duration = event.ph === 'X' ? event.dur : 0;
    if ((event.ph !== 'X' && event.ph !== 'i') || !Number.isFinite(event.ts) || !Number.isFinite(duration) || duration < 0) {
        return false;
    }
    if (Number.isNaN(timeBase)) {
        timeBase = event.ts; /* near 0 a number has room for nanoseconds; in microseconds since the machine's start it has not */
    }
    const start = event.ts - timeBase;
    const kind = kindOf(event, args);
    laneOf(process, event.tid)[KINDS[kind].layer].add(start, start + duration, kind, intern(event.name), args);
    eventCount++;
    return true;
}

/* Returns the events in a piece of a file. A line that is none (cut in the middle, perhaps) is counted and left out. */
function eventsIn(text) {
    let from = 0;
    let to = text.length;
    while (from < to && '[, \n'.includes(text[from])) {
        from++;
    }
    while (from < to && '], \n'.includes(text[to - 1])) {
        to--;
    }
    const body = text.slice(from, to);
    try {
        return JSON.parse('[' + body + ']');
    } catch (error) {
        const events = [];
        for (const line of body.split('\n')) {
            try {
                events.push(JSON.parse(line.endsWith(',') ? line.slice(0, -1) : line));
            } catch (errorOfLine) {
                unreadable++;
            }
        }
        return events;
    }
}

/* Called by a script behind each piece. data-process: number of the file on the command line; data-name: its name. */
function eat() {
    const script = document.currentScript;
    const piece = script.previousElementSibling;
    const number = Number(piece.dataset.process);
    if (!processes[number]) {
        processes[number] = { file: piece.dataset.name, name: '', pid: 0, threads: new Map() };
    }
    for (const event of eventsIn(piece.textContent)) {
        if (!addEvent(processes[number], event)) {
            unreadable++;
        }
    }
    piece.remove();
    script.remove();
    document.getElementById('summary').textContent = 'reading: ' + eventCount.toLocaleString('en') + ' events';
}
