'use strict';
/* What can be asked of the spans of a thread once all are read. They are sorted by time and do not overlap in a layer, so sums
 * up to each span answer what covers any stretch of time with two binary searches, whatever lies in it: that is what makes
 * a million spans as quick to draw as a thousand. */

let timeEnd = 0; /* of everything, in microseconds since timeBase, which is the beginning of everything */

/* Returns the first index from `low` whose value in the sorted column is at least (after: more than) `time`. */
function firstFrom(column, count, time, low) {
    let high = count;
    while (low < high) {
        const middle = (low + high) >>> 1;
        if (column[middle] < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
function firstAfter(column, count, time, low) {
    let high = count;
    while (low < high) {
        const middle = (low + high) >>> 1;
        if (column[middle] <= time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

function isSorted(spans) {
    for (let i = 1; i < spans.count; i++) {
        if (spans.start[i] < spans.start[i - 1]) {
            return false;
        }
    }
    return true;
}

function sortSpans(spans) {
    if (isSorted(spans)) {
        return;
    }
    const order = Uint32Array.from({ length: spans.count }, (unused, i) => i);
    order.sort((a, b) => spans.start[a] - spans.start[b] || spans.end[a] - spans.end[b]);
    for (const column of Object.keys(COLUMNS)) {
        const sorted = new COLUMNS[column](spans.count);
        for (let i = 0; i < spans.count; i++) {
            sorted[i] = spans[column][order[i]];
        }
        spans[column] = sorted;
    }
    spans.room = spans.count;
}

/* The writer rounds to nanoseconds, and two spans may meet in one. */
function separate(spans) {
    for (let i = 1; i < spans.count; i++) {
        if (spans.start[i] < spans.end[i - 1]) {
            spans.start[i] = spans.end[i - 1];
            spans.end[i] = Math.max(spans.end[i], spans.start[i]);
        }
    }
}

/* Returns, for each kind that occurs, the time that the first i spans of it take together; of those that `counts` only. */
function sumsOf(spans, counts) {
    const occurs = new Uint8Array(KINDS.length);
    for (let i = 0; i < spans.count; i++) {
        occurs[spans.kind[i]] = 1;
    }
    const sums = new Map(); /* in the order of KINDS */
    occurs.forEach((does, kind) => does && sums.set(kind, new Float64Array(spans.count + 1)));
    for (const [kind, sum] of sums) {
        for (let i = 0; i < spans.count; i++) {
            sum[i + 1] = sum[i] + (spans.kind[i] === kind && counts(i) ? spans.end[i] - spans.start[i] : 0);
        }
    }
    return sums;
}
const everything = () => true;

/* Makes the lanes ready for questions. Called once, when all is read. */
function finishLanes() {
    let first = Infinity;
    let last = -Infinity;
    for (const process of processes) {
        process.lanes = [...process.threads.values()];
        for (const lane of process.lanes) {
            lane.first = Infinity;
            for (const layer of ['bar', 'strip', 'over', 'mark']) {
                const spans = lane[layer];
                if (!spans.count) {
                    continue;
                }
                sortSpans(spans);
                if (layer === 'bar' || layer === 'strip') {
                    separate(spans);
                    spans.sums = sumsOf(spans, everything);
                }
                lane.first = Math.min(lane.first, spans.start[0]);
                for (let i = 0; i < spans.count; i++) {
                    last = Math.max(last, spans.end[i]);
                }
            }
            first = Math.min(first, lane.first);
        }
        /* The main thread, whose number is the process's, and then by when they began. */
        const isMain = (lane) => (lane.tid === process.pid ? 0 : 1);
        process.lanes.sort((a, b) => isMain(a) - isMain(b) || a.first - b.first || a.tid - b.tid);
    }
    if (!eventCount) {
        first = last = 0;
    }
    for (const lane of allLanes()) {
        for (const layer of ['bar', 'strip', 'over', 'mark']) {
            for (let i = 0; i < lane[layer].count; i++) {
                lane[layer].start[i] -= first;
                lane[layer].end[i] -= first;
            }
        }
        lane.first -= first;
    }
    timeEnd = last - first;
}

function* allLanes() {
    for (const process of processes) {
        yield* process.lanes;
    }
}

/* True if the thread does anything between the two times. */
function isActive(lane, from, to) {
    return ['bar', 'mark', 'over'].some((layer) => {
        const spans = lane[layer];
        if (!spans.count) {
            return false;
        }
        const i = layer === 'over' ? 0 : firstFrom(spans.end, spans.count, from, 0);
        return i < spans.count && spans.start[i] <= to;
    });
}

/* Returns how much of the time from `from` to `to` the spans of a kind take: those from index i to before j, which reach into
 * it. `sum` is their sums. */
function covered(spans, sum, kind, i, j, from, to) {
    let time = sum[j] - sum[i];
    if (sum[i + 1] > sum[i] && spans.start[i] < from) {
        time -= from - spans.start[i];
    }
    if (sum[j] > sum[j - 1] && spans.end[j - 1] > to) {
        time -= spans.end[j - 1] - to;
    }
    return Math.max(time, 0);
}

/* ---- by library ---- */

/* "libfoo.so!bar+0x12": the library is what is before the last "!", since a file's name may contain one. */
const libraryOfString = [];
function libraryOf(string) {
    if (libraryOfString[string] === undefined) {
        const text = strings[string];
        const end = text.lastIndexOf('!');
        libraryOfString[string] = intern(end > 0 ? text.slice(0, end) : text);
    }
    return libraryOfString[string];
}

/* Returns a row for each library: how long, how often and how long at once it held and waited between the two times. */
function sumByLibrary(from, to) {
    const rows = new Map();
    for (const lane of allLanes()) {
        const spans = lane.bar;
        if (!spans.count) {
            continue;
        }
        for (let i = firstAfter(spans.end, spans.count, from, 0); i < spans.count && spans.start[i] < to; i++) {
            const what = isHold(spans.kind[i]) ? 'held' : isWait(spans.kind[i]) ? 'waited' : '';
            if (!what) {
                continue;
            }
            const library = libraryOf(spans.by[i]);
            let row = rows.get(library);
            if (!row) {
                row = { library: strings[library], held: emptySum(), waited: emptySum() };
                rows.set(library, row);
            }
            const sum = row[what];
            const time = Math.min(spans.end[i], to) - Math.max(spans.start[i], from);
            sum.time += time;
            sum.count++;
            if (time > sum.longest) {
                sum.longest = time;
                sum.lane = lane;
                sum.index = i;
            }
        }
    }
    return [...rows.values()];
}
function emptySum() {
    return { time: 0, count: 0, longest: -1, lane: null, index: 0 };
}

/* ---- find ---- */

let query = '';
let queryNumber = 0; /* changes with the query */
let isFound = new Uint8Array(0); /* for each string */

function setQuery(text) {
    query = text.trim().toLowerCase();
    queryNumber++;
    isFound = Uint8Array.from(strings, (string) => (query && string.toLowerCase().includes(query) ? 1 : 0));
}
const isNamed = (lane) => lane.name.toLowerCase().includes(query) || String(lane.tid) === query;

/* What matches by a function that gets the index of a span; whatever it is, if nothing is searched for. */
function matcher(lane, spans) {
    if (!query || isNamed(lane)) {
        return everything;
    }
    const found = isFound;
    return (i) => found[spans.by[i]] || found[spans.call[i]] || found[spans.name[i]];
}
/* The sums of what matches. They are made when the thread is drawn for the first time after a new query. */
function matchingSums(lane, spans) {
    if (!query) {
        return spans.sums;
    }
    if (spans.matchNumber !== queryNumber) {
        spans.matchNumber = queryNumber;
        spans.matchSums = sumsOf(spans, matcher(lane, spans));
    }
    return spans.matchSums;
}

/* Returns how many spans and moments match, and the nearest after (direction 1) or before (-1) a time. */
function findFrom(time, direction) {
    const found = { count: 0, next: null };
    for (const lane of query ? allLanes() : []) {
        for (const layer of ['bar', 'mark', 'over']) {
            const spans = lane[layer];
            const matches = matcher(lane, spans);
            for (let i = 0; i < spans.count; i++) {
                if (!matches(i)) {
                    continue;
                }
                found.count++;
                const distance = (spans.start[i] - time) * direction;
                if (distance > 0 && (!found.next || distance < found.next.distance)) {
                    found.next = { lane, layer, index: i, distance };
                }
            }
        }
    }
    return found;
}
