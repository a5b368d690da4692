'use strict';
/* Mouse and keys, and when what is drawn again. */

const NARROWEST = 0.05; /* microseconds across the window */
let isDrawn = true;
let tableTimer = 0;

function redraw() {
    if (isDrawn) {
        isDrawn = false;
        requestAnimationFrame(() => {
            isDrawn = true;
            draw();
            drawOverview();
        });
    }
}

/* The table is summed when the view has come to rest. */
function redrawAll() {
    redraw();
    clearTimeout(tableTimer);
    tableTimer = setTimeout(() => {
        if (view.onlyActive) {
            layOut();
            redraw();
        }
        showTable();
        if (view.chosen) {
            showDetails();
        }
    }, 120);
}

/* Shows the time from `from` to `to`, or as much of it as there is. */
function show(from, to) {
    const span = Math.min(Math.max(to - from, NARROWEST), timeEnd);
    const middle = (from + to) / 2;
    view.from = Math.min(Math.max(middle - span / 2, 0), timeEnd - span);
    view.to = view.from + span;
    redrawAll();
}
const showAll = () => show(0, timeEnd);
const move = (part) => show(view.from + part * (view.to - view.from), view.to + part * (view.to - view.from));
function zoom(factor, time) {
    const from = time - (time - view.from) * factor;
    show(from, from + Math.min(Math.max((view.to - view.from) * factor, NARROWEST), timeEnd));
}
const zoomMiddle = (factor) => zoom(factor, (view.from + view.to) / 2);

/* ---- places ---- */

/* Lays the rows out below each other. */
function layOut() {
    view.rows = [];
    let y = 0;
    for (const process of processes) {
        const isShown = (lane) => lane.first < Infinity && (!view.onlyActive || isActive(lane, view.from, view.to));
        const lanes = process.lanes.filter(isShown);
        if (lanes.length) {
            view.rows.push({ process, y, height: PROCESS_ROW });
            y += PROCESS_ROW;
        }
        lanes.forEach((lane, index) => {
            view.rows.push({ lane, index, y, height: THREAD_ROW });
            y += THREAD_ROW;
        });
    }
    view.height = RULER + y;
    fitCanvas();
}

/* The canvas fills the visible part and stays there; an empty box below it makes the scroll bar as long as the rows are. */
function fitCanvas() {
    const scroll = byId('scroll');
    view.width = Math.max(scroll.clientWidth, NAMES + 50);
    view.tall = scroll.clientHeight;
    byId('tracks').style.height = view.tall + 'px';
    byId('spacer').style.height = Math.max(view.height - view.tall, 0) + 'px';
}

function resized() {
    fitCanvas();
    draw();
    drawOverview();
}

function recoloured() {
    readColours();
    showLegend();
    redraw();
}

/* ---- choosing and finding ---- */

/* Keeps the details of a thing. `isFar`: goes there, too. */
function choose(thing, isFar) {
    view.chosen = thing;
    if (thing && thing.layer !== undefined && thing.from === undefined) {
        const spans = thing.lane[thing.layer];
        view.chosen = { ...thing, count: 1, from: spans.start[thing.index], to: spans.end[thing.index] };
    }
    if (isFar) {
        goTo(view.chosen);
    }
    showDetails();
    redraw();
}

function goTo({ lane, from, to }) {
    const long = Math.max(to - from, 0.2);
    const isSeen = from >= view.from && to <= view.to && to - from > (view.to - view.from) / 200;
    if (!isSeen) {
        show((from + to) / 2 - long * 4, (from + to) / 2 + long * 4);
    }
    if (view.onlyActive) {
        layOut();
    }
    const row = view.rows.find((other) => other.lane === lane);
    const scroll = byId('scroll');
    if (row && (row.y < scroll.scrollTop || row.y + row.height + RULER > scroll.scrollTop + view.tall)) {
        scroll.scrollTop = row.y - view.tall / 2;
    }
}

function find() {
    setQuery(byId('find').value);
    byId('matches').textContent = query ? plural(findFrom(0, 1).count, 'match').replace('matchs', 'matches') : '';
    redraw();
}
function findNext(direction) {
    const chosen = view.chosen && view.chosen.layer !== undefined ? view.chosen : null;
    const time = chosen ? chosen.from : direction > 0 ? -1 : Infinity;
    const { next } = findFrom(time === Infinity ? timeEnd + 1 : time, direction);
    if (next) {
        choose({ lane: next.lane, layer: next.layer, index: next.index }, true);
    }
}

/* ---- mouse ---- */

function onWheel(event) {
    const unit = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 300 : 1; /* lines, pages, pixels */
    if (event.offsetX < NAMES && !event.ctrlKey && !event.shiftKey) {
        return; /* scrolls the threads */
    }
    event.preventDefault();
    const across = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        move((across * unit) / view.width);
    } else {
        zoom(Math.exp(Math.min(Math.max(event.deltaY * unit, -300), 300) * 0.0022), timeAt(Math.max(event.offsetX, NAMES)));
    }
    byId('tip').hidden = true;
}

let drag = null; /* {x, y, from, to, top, isMoved} while a button is down */
function onDown(event) {
    if (event.button === 0) {
        const top = byId('scroll').scrollTop;
        drag = { x: event.clientX, y: event.clientY, from: view.from, to: view.to, top, isMoved: false };
        event.target.setPointerCapture(event.pointerId);
    }
}
function onMove(event) {
    if (drag) {
        const across = event.clientX - drag.x;
        const down = event.clientY - drag.y;
        drag.isMoved = drag.isMoved || Math.abs(across) + Math.abs(down) > 4;
        if (drag.isMoved) {
            const perPixel = (drag.to - drag.from) / (view.width - NAMES);
            byId('tracks').className = 'dragged';
            byId('tip').hidden = true;
            show(drag.from - across * perPixel, drag.to - across * perPixel);
            byId('scroll').scrollTop = drag.top - down;
        }
        return;
    }
    view.hovered = thingAt(event.offsetX, event.offsetY);
    showTip(view.hovered, event.clientX, event.clientY);
    redraw();
}
function onUp(event) {
    if (drag && !drag.isMoved) {
        choose(thingAt(event.offsetX, event.offsetY), false);
    }
    drag = null;
    byId('tracks').className = '';
}
function onDouble(event) {
    const thing = thingAt(event.offsetX, event.offsetY);
    if (thing && thing.layer !== undefined && thing.to > thing.from) {
        show(thing.from - (thing.to - thing.from) / 10, thing.to + (thing.to - thing.from) / 10);
    }
}
function onLeave() {
    view.hovered = null;
    byId('tip').hidden = true;
    redraw();
}

let stretch = null; /* where a drag in the overview began */
function onOverview(event) {
    const canvas = byId('overview');
    const time = (event.offsetX / canvas.clientWidth) * timeEnd;
    if (event.type === 'pointerdown') {
        stretch = { x: event.offsetX, time };
        canvas.setPointerCapture(event.pointerId);
    } else if (event.type === 'pointermove' && stretch && Math.abs(event.offsetX - stretch.x) > 3) {
        show(Math.min(time, stretch.time), Math.max(time, stretch.time));
    } else if (event.type === 'pointerup' && stretch) {
        if (Math.abs(event.offsetX - stretch.x) <= 3) { /* a click moves the window there */
            show(time - (view.to - view.from) / 2, time + (view.to - view.from) / 2);
        }
        stretch = null;
    }
}

/* ---- keys ---- */

function press(button) {
    const isOn = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(isOn));
    return isOn;
}
function toggleActive() {
    view.onlyActive = press(byId('active'));
    layOut();
    redraw();
}
function toggleHelp() {
    byId('keys').hidden = !press(byId('help'));
}
const scrollBy = (rows) => (byId('scroll').scrollTop += rows * THREAD_ROW);

const KEYS = {
    w: () => zoomMiddle(0.7), '+': () => zoomMiddle(0.7), '=': () => zoomMiddle(0.7),
    s: () => zoomMiddle(1 / 0.7), '-': () => zoomMiddle(1 / 0.7), _: () => zoomMiddle(1 / 0.7),
    a: () => move(-0.15), ArrowLeft: () => move(-0.15), d: () => move(0.15), ArrowRight: () => move(0.15),
    ArrowUp: () => scrollBy(-1), ArrowDown: () => scrollBy(1), PageUp: () => scrollBy(-10), PageDown: () => scrollBy(10),
    Home: () => (byId('scroll').scrollTop = 0), End: () => (byId('scroll').scrollTop = view.height),
    0: showAll, f: showAll, h: toggleActive, '?': toggleHelp, '/': () => byId('find').focus(),
    Escape: () => (byId('keys').hidden ? choose(null, false) : toggleHelp()),
};

function onKey(event) {
    if (event.target === byId('find')) {
        if (event.key === 'Enter') {
            findNext(event.shiftKey ? -1 : 1);
        } else if (event.key === 'Escape') {
            byId('find').value = '';
            find();
            byId('tracks').focus();
        }
        return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (Object.prototype.hasOwnProperty.call(KEYS, key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        KEYS[key]();
    }
}

/* ---- start ---- */

function listen() {
    const tracks = byId('tracks');
    tracks.addEventListener('wheel', onWheel, { passive: false });
    tracks.addEventListener('pointerdown', onDown);
    tracks.addEventListener('pointermove', onMove);
    tracks.addEventListener('pointerup', onUp);
    tracks.addEventListener('pointercancel', onUp);
    tracks.addEventListener('pointerleave', onLeave);
    tracks.addEventListener('dblclick', onDouble);
    for (const type of ['pointerdown', 'pointermove', 'pointerup']) {
        byId('overview').addEventListener(type, onOverview);
    }
    byId('scroll').addEventListener('scroll', redraw);
    byId('find').addEventListener('input', find);
    byId('in').addEventListener('click', () => zoomMiddle(0.5));
    byId('out').addEventListener('click', () => zoomMiddle(2));
    byId('fit').addEventListener('click', showAll);
    byId('active').addEventListener('click', toggleActive);
    byId('help').addEventListener('click', toggleHelp);
    window.addEventListener('keydown', onKey);
    window.addEventListener('resize', resized);
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recoloured);
}

/* The last script of the page: all is read. When data-ready is set, all is drawn: after so many milliseconds. */
function begin() {
    finishLanes();
    const threads = [...allLanes()].filter((lane) => lane.first < Infinity).length;
    document.title = processes.map(nameOfProcess).join(', ') + ' \u2013 GIL timeline';
    byId('title').textContent = processes.map(nameOfProcess).join(', ') || 'GIL timeline';
    byId('title').title = processes.map((process) => process.file).join('\n');
    byId('summary').textContent = plural(eventCount, 'event') + ', ' + plural(threads, 'thread') + ', ' + inWords(timeEnd) +
        (unreadable ? '; left out: ' + plural(unreadable, 'line') + ' that can\u2019t be read' : '');
    view.to = timeEnd = Math.max(timeEnd, NARROWEST);
    readColours();
    showLegend();
    showDetails();
    layOut();
    listen();
    showTable();
    resized();
    document.documentElement.dataset.events = String(eventCount);
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
}
