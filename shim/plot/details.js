'use strict';
/* What is said in words: of what is under the pointer, of what was clicked, of each library, and the legend. */

const byId = (id) => document.getElementById(id);

function element(name, text, parent) {
    const made = document.createElement(name);
    if (text !== undefined) {
        made.textContent = text;
    }
    if (parent) {
        parent.append(made);
    }
    return made;
}

/* Returns what is at a place on the canvas, or null: {lane} for a name; with `layer`, `index`, `count`, `from`, `to` for one
 * span or mark, or for the first of several that are in one pixel. */
function thingAt(x, y) {
    const scrolled = byId('scroll').scrollTop;
    const inRows = y - RULER + scrolled;
    const row = y >= RULER ? view.rows.find((other) => inRows >= other.y && inRows < other.y + other.height) : undefined;
    if (!row) {
        return null;
    }
    if (row.process || x < NAMES) {
        return { lane: row.lane, process: row.process };
    }
    const { lane } = row;
    const at = inRows - row.y;
    return (at < BAR_Y && thingIn(lane, 'mark', x, 5)) || (at >= STRIP_Y - 1 && thingIn(lane, 'strip', x, 0.5)) ||
        overAt(lane, x) || thingIn(lane, 'bar', x, 0.5) || thingIn(lane, 'bar', x, 2.5) || thingIn(lane, 'mark', x, 5) ||
        { lane };
}

function thingIn(lane, layer, x, near) {
    const spans = lane[layer];
    if (!spans.count) {
        return null;
    }
    const from = timeAt(x - near);
    const to = timeAt(x + near);
    const i = firstFrom(spans.end, spans.count, from, 0);
    const j = firstAfter(spans.start, spans.count, to, i);
    if (i >= j) {
        return null;
    }
    /* At a wide span's edge, the one under the pointer itself. */
    const exact = firstAfter(spans.end, spans.count, timeAt(x), i);
    const pick = exact < j && spans.start[exact] <= timeAt(x) ? exact : i;
    const isWide = xOf(spans.end[pick]) - xOf(spans.start[pick]) > 1;
    if (layer !== 'mark' && isWide) {
        return { lane, layer, index: pick, count: 1, from: spans.start[pick], to: spans.end[pick] };
    }
    return { lane, layer, index: i, count: j - i, from: spans.start[i], to: spans.end[j - 1] };
}

function overAt(lane, x) {
    const spans = lane.over;
    for (let i = spans.count - 1; i >= 0; i--) {
        if (xOf(spans.start[i]) <= x + 1 && xOf(spans.end[i]) >= x - 1) {
            return { lane, layer: 'over', index: i, count: 1, from: spans.start[i], to: spans.end[i] };
        }
    }
    return null;
}

const nameOfLane = (lane) => (lane.name ? lane.name + ' ' : 'thread ') + lane.tid + ', ' + nameOfProcess(lane.process);
const plural = (count, word) => count.toLocaleString('en') + ' ' + word + (count === 1 ? '' : 's');

/* Returns the title and [name, value] pairs of a thing. */
function factsOf(thing) {
    const { lane, process } = thing;
    if (process) {
        return { title: nameOfProcess(process), facts: [['file', process.file], ['threads', String(process.lanes.length)]] };
    }
    if (thing.layer === undefined) {
        const held = timeIn(lane, isHold);
        const waited = timeIn(lane, isWait);
        return {
            title: lane.name || 'thread ' + lane.tid,
            facts: [['thread', nameOfLane(lane)], ['held here', inWords(held)], ['waited here', inWords(waited)]],
        };
    }
    return thing.count === 1 ? factsOfOne(thing) : factsOfSeveral(thing);
}

/* How long the thread held, or waited, in the visible time. */
function timeIn(lane, is) {
    const spans = lane.bar;
    if (!spans.count) {
        return 0;
    }
    const i = firstAfter(spans.end, spans.count, view.from, 0);
    const j = firstFrom(spans.start, spans.count, view.to, i);
    let time = 0;
    for (const [kind, sum] of i < j ? spans.sums : []) {
        time += is(kind) ? covered(spans, sum, kind, i, j, view.from, view.to) : 0;
    }
    return time;
}

function factsOfOne({ lane, layer, index }) {
    const spans = lane[layer];
    const facts = [];
    if (spans.by[index]) {
        facts.push([layer === 'mark' ? 'by' : 'called by', strings[spans.by[index]]]);
    }
    if (spans.call[index]) {
        facts.push(['call', strings[spans.call[index]]]);
    }
    facts.push([layer === 'mark' ? 'at' : 'begins at', inWords(spans.start[index], 0.001)]);
    if (layer !== 'mark') {
        facts.push(['takes', inWords(spans.end[index] - spans.start[index])]);
    }
    facts.push(['thread', nameOfLane(lane)]);
    if (spans.state[index]) {
        facts.push(['thread state', strings[spans.state[index]]]);
    }
    if (spans.gil[index] >= 0) {
        facts.push(['GIL', 'of interpreter ' + spans.gil[index]]);
    }
    if (spans.kind[index] === KIND.dropped) {
        facts.push(['lost', plural(spans.lost[index], 'event') + ', which came faster than they were written']);
    }
    return { title: strings[spans.name[index]], facts };
}

/* Of several in one pixel: how many, how long together, and of which libraries. */
function factsOfSeveral({ lane, layer, index, count, from, to }) {
    const spans = lane[layer];
    const byName = new Map();
    const byLibrary = new Map();
    for (let i = index; i < index + count; i++) {
        const sum = byName.get(spans.name[i]) || { count: 0, time: 0 };
        byName.set(spans.name[i], sum);
        sum.count++;
        sum.time += spans.end[i] - spans.start[i];
        const library = libraryOf(spans.by[i]);
        byLibrary.set(library, (byLibrary.get(library) || 0) + 1);
    }
    const facts = [];
    for (const [name, sum] of byName) {
        facts.push([strings[name], plural(sum.count, 'time') + (layer === 'mark' ? '' : ', ' + inWords(sum.time))]);
    }
    const most = [...byLibrary].filter(([library]) => library).sort((a, b) => b[1] - a[1]).slice(0, 4);
    facts.push(['by', most.map(([library, times]) => strings[library] + ' (' + times.toLocaleString('en') + ')').join(', ')]);
    facts.push(['from', inWords(from, 0.001) + ' to ' + inWords(to, 0.001)], ['thread', nameOfLane(lane)]);
    return { title: plural(count, layer === 'mark' ? 'moment' : 'span') + ' in one pixel: zoom in', facts };
}

function writeFacts(parent, { title, facts }, heading) {
    parent.replaceChildren();
    element(heading, title, parent);
    const list = element('dl', undefined, parent);
    list.className = 'facts';
    for (const [name, value] of facts) {
        element('dt', name, list);
        element('dd', value, list);
    }
}

function showTip(thing, x, y) {
    const tip = byId('tip');
    tip.hidden = !thing;
    if (!thing) {
        return;
    }
    writeFacts(tip, factsOf(thing), 'b');
    /* Beside the pointer, where there is room. */
    const wide = tip.offsetWidth;
    const tall = tip.offsetHeight;
    tip.style.left = Math.max(4, x + 16 + wide > window.innerWidth ? x - wide - 12 : x + 16) + 'px';
    tip.style.top = Math.max(4, y + 18 + tall > window.innerHeight ? y - tall - 12 : y + 18) + 'px';
}

function showDetails() {
    const details = byId('details');
    if (view.chosen) {
        writeFacts(details, factsOf(view.chosen), 'h2');
    } else {
        details.replaceChildren();
        element('h2', 'Details', details);
        element('p', 'Click on a span, a mark or a thread to keep its details here.', details);
    }
}

/* ---- by library ---- */

const TABLE = [
    ['library', (row) => row.library],
    ['held', (row) => row.held.time],
    ['holds', (row) => row.held.count],
    ['longest hold', (row) => row.held.longest],
    ['waited', (row) => row.waited.time],
    ['waits', (row) => row.waited.count],
    ['longest wait', (row) => row.waited.longest],
];
let sortedBy = 1;
const MOST_ROWS = 100;

/* The longest one leads to its place. */
function writeLongest(cell, sum) {
    if (sum.count) {
        const button = element('button', inWords(sum.longest), cell);
        button.type = 'button';
        button.title = 'Show it';
        button.addEventListener('click', () => choose({ lane: sum.lane, layer: 'bar', index: sum.index }, true));
    }
}

function showTable() {
    const rows = sumByLibrary(view.from, view.to);
    const value = TABLE[sortedBy][1];
    rows.sort((a, b) => (sortedBy ? value(b) - value(a) : 0) || (a.library < b.library ? -1 : 1));
    byId('window').textContent = 'Visible: ' + inWords(view.from, (view.to - view.from) / 1000) + ' to ' +
        inWords(view.to, (view.to - view.from) / 1000) + ' (' + inWords(view.to - view.from) + ')';
    const columns = byId('columns');
    columns.replaceChildren();
    TABLE.forEach(([name], i) => {
        const head = element('th', name, columns);
        head.scope = 'col';
        if (i === sortedBy) {
            head.setAttribute('aria-sort', i ? 'descending' : 'ascending');
        }
        head.addEventListener('click', () => {
            sortedBy = i;
            showTable();
        });
    });
    const body = byId('rows');
    body.replaceChildren();
    for (const row of rows.slice(0, MOST_ROWS)) {
        const line = element('tr', undefined, body);
        const name = element('button', row.library || '(unknown)', element('td', undefined, line));
        name.type = 'button';
        name.title = 'Find ' + row.library;
        name.addEventListener('click', () => {
            byId('find').value = row.library;
            find();
        });
        for (const sum of [row.held, row.waited]) {
            element('td', sum.count ? inWords(sum.time) : '', line);
            element('td', sum.count ? sum.count.toLocaleString('en') : '', line);
            writeLongest(element('td', undefined, line), sum);
        }
    }
}

/* ---- legend ---- */

function showLegend() {
    const legend = byId('legend');
    legend.replaceChildren();
    KINDS.forEach((kind, i) => {
        if (!kind.names.size) {
            return;
        }
        const item = element('span', undefined, legend);
        const canvas = element('canvas', undefined, item);
        const pen = prepare(canvas, 18, 12);
        if (kind.layer === 'mark') {
            fillMark(pen, i, 9, 6);
        } else {
            fillAs(pen, i, 0, kind.layer === 'strip' ? 4 : 1, 18, kind.layer === 'strip' ? 4 : 10);
        }
        const names = [...kind.names].slice(0, 3);
        const isNamed = isHold(i) || kind.layer === 'over' || (isWait(i) && [...kind.names].some((name) => name.includes('pause')));
        const text = isNamed ? names.join(', ') + (kind.names.size > 3 ? ', \u2026' : '') : kind.text;
        element('span', text, item);
    });
}
