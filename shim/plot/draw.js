'use strict';
/* Draws the view: a ruler, and below it a row for each process and for each thread. Where spans are narrower than a pixel, its
 * column is filled by how much of that time was held and waited: blue from below, then orange. */

const NAMES = 210; /* width of the column with the threads' names */
const RULER = 24;
const TICKS = 1000; /* at most, on the ruler */
const PROCESS_ROW = 24;
const THREAD_ROW = 36;
/* In a thread's row, from its top: marks, the bar, the strip. */
const MARK_Y = 6;
const BAR_Y = 11;
const BAR_HEIGHT = 16;
const STRIP_Y = 28;
const STRIP_HEIGHT = 4;
const FONT = 'system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif';

/* What is shown: times from `from` to `to`; `rows`: {process} or {lane}, each with its y and height; `chosen`: what details are
 * kept of, `hovered`: where the pointer is, or null. */
const view = { from: 0, to: 1, rows: [], height: 0, onlyActive: false, chosen: null, hovered: null, width: 0, tall: 0 };

const timeAt = (x) => view.from + ((x - NAMES) / (view.width - NAMES)) * (view.to - view.from);
const xOf = (time) => NAMES + ((time - view.from) / (view.to - view.from)) * (view.width - NAMES);

/* Returns a time with its unit, with four digits; `step`: as exact as a ruler with such steps needs. */
function inWords(time, step) {
    if (step === undefined && Math.abs(time) < 0.0005) {
        return '0 \u00b5s'; /* what is left of a sum is less than the nanosecond that times are written in */
    }
    const size = Math.abs(step === undefined ? time : Math.max(Math.abs(time), step));
    const [unit, scale] = size >= 1e6 ? ['s', 1e6] : size >= 1e3 ? ['ms', 1e3]
        : size >= 1 || size === 0 ? ['\u00b5s', 1] : ['ns', 1e-3];
    const value = time / scale;
    const digits = step === undefined ? Math.max(0, 3 - Math.floor(Math.log10(Math.max(1, Math.abs(value)))))
        : Math.max(0, Math.ceil(-Math.log10(step / scale) - 1e-9));
    return value.toFixed(Math.min(digits, 9)).replace(/^-(0(\.0*)?)$/, '$1') + ' ' + unit;
}

/* ---- colours ---- */

let colours = {};
function readColours() {
    const style = getComputedStyle(document.documentElement);
    colours = {};
    const others = ['back', 'band', 'bar', 'line', 'text', 'quiet', 'on-span', 'on-wait', 'focus', 'chosen'];
    for (const name of others.concat(KINDS.map((kind) => kind.style))) {
        colours[name] = style.getPropertyValue('--' + name).trim();
    }
}
const colourOf = (kind) => colours[KINDS[kind].style];

/* Fills a rectangle as a kind looks: what has no end and what is lost are hatched, so that they differ without colours, too. */
function fillAs(pen, kind, x, y, width, height) {
    pen.fillStyle = colourOf(kind);
    pen.fillRect(x, y, width, height);
    if ((kind === KIND.stuck || kind === KIND.dropped) && width > 4) {
        pen.save();
        pen.beginPath();
        pen.rect(x, y, width, height);
        pen.clip();
        pen.strokeStyle = colours.back;
        pen.globalAlpha *= 0.35;
        pen.lineWidth = 2;
        pen.beginPath();
        for (let at = x - height; at < x + width; at += 8) {
            pen.moveTo(at, y + height);
            pen.lineTo(at + height, y);
        }
        pen.stroke();
        pen.restore();
    }
}
function fillMark(pen, kind, x, y) {
    pen.fillStyle = colourOf(kind);
    pen.beginPath();
    pen.moveTo(x, y - 4.5);
    pen.lineTo(x + 4.5, y);
    pen.lineTo(x, y + 4.5);
    pen.lineTo(x - 4.5, y);
    pen.fill();
}

/* Sets up a canvas for sharp lines: as many pixels as the screen has. Returns its context, in units of CSS pixels. */
function prepare(canvas, width, height) {
    const ratio = window.devicePixelRatio || 1;
    const across = Math.round(width * ratio);
    const down = Math.round(height * ratio);
    if (canvas.width !== across || canvas.height !== down) {
        canvas.width = across;
        canvas.height = down;
    }
    const pen = canvas.getContext('2d');
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return pen;
}

/* ---- a thread ---- */

const FAINT = 0.22; /* what does not match the query */

function shorten(pen, text, width) {
    if (width < 14 || pen.measureText(text).width <= width) {
        return width < 14 ? '' : text;
    }
    let low = 0;
    let high = text.length;
    while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (pen.measureText(text.slice(0, middle) + '\u2026').width <= width) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low ? text.slice(0, low) + '\u2026' : '';
}

/* Draws each of the spans from i to before j. */
function drawSpans(pen, lane, spans, i, j, y, height) {
    const matches = matcher(lane, spans);
    for (; i < j; i++) {
        const left = Math.max(xOf(spans.start[i]), NAMES - 1);
        const right = Math.min(xOf(spans.end[i]), view.width + 1);
        pen.globalAlpha = matches(i) ? 1 : FAINT;
        fillAs(pen, spans.kind[i], left, y, Math.max(right - left, 1), height);
        if (height >= BAR_HEIGHT && right - left > 44) {
            pen.fillStyle = colours[spans.kind[i] === KIND.wait ? 'on-wait' : 'on-span'];
            const text = strings[spans.by[i]] || strings[spans.name[i]];
            pen.fillText(shorten(pen, text, right - left - 8), left + 4, y + height / 2 + 0.5);
        }
    }
    pen.globalAlpha = 1;
}

/* Draws columns of one pixel: what matches, and faintly what does not. */
function drawColumns(pen, lane, spans, first, y, height) {
    const matching = matchingSums(lane, spans);
    const perPixel = (view.to - view.from) / (view.width - NAMES);
    let i = first;
    for (let x = NAMES; x < view.width; x++) {
        const from = view.from + (x - NAMES) * perPixel;
        const to = from + perPixel;
        i = firstAfter(spans.end, spans.count, from, i);
        if (i >= spans.count) {
            break;
        }
        if (spans.start[i] >= to) {
            x = Math.max(x, Math.min(Math.floor(xOf(spans.start[i])), view.width) - 1);
            continue;
        }
        if (spans.start[i] <= from && spans.end[i] >= to) { /* a wide one among many */
            drawSpans(pen, lane, spans, i, i + 1, y, height);
            x = Math.max(x, Math.min(Math.floor(xOf(spans.end[i])), view.width) - 1);
            continue;
        }
        const j = firstFrom(spans.start, spans.count, to, i);
        let bottom = y + height;
        for (const [kind, sums] of spans.sums) {
            const all = covered(spans, sums, kind, i, j, from, to);
            if (all <= 0) {
                continue;
            }
            /* A lost event is to be seen, however short the loss was. */
            const least = kind === KIND.dropped || kind === KIND.stuck ? height / 2 : 1;
            const tall = Math.min(Math.max((all / perPixel) * height, least), bottom - y);
            const some = query ? covered(spans, matching.get(kind), kind, i, j, from, to) / all : 1;
            pen.fillStyle = colourOf(kind);
            if (some < 1) {
                pen.globalAlpha = FAINT;
                pen.fillRect(x, bottom - tall, 1, tall);
                pen.globalAlpha = 1;
            }
            if (some > 0) {
                pen.fillRect(x, bottom - Math.max(tall * some, 1), 1, Math.max(tall * some, 1));
            }
            bottom -= tall;
        }
    }
}

function drawLayer(pen, lane, spans, y, height) {
    if (!spans.count) {
        return;
    }
    const i = firstAfter(spans.end, spans.count, view.from, 0);
    const j = firstFrom(spans.start, spans.count, view.to, i);
    if ((j - i) * 3 > view.width - NAMES) {
        drawColumns(pen, lane, spans, i, y, height);
    } else {
        drawSpans(pen, lane, spans, i, j, y, height);
    }
}

/* Marks that would cover each other are drawn once. */
function drawMarks(pen, lane, y) {
    const spans = lane.mark;
    const matches = matcher(lane, spans);
    let i = spans.count ? firstFrom(spans.start, spans.count, timeAt(NAMES - 4), 0) : 0;
    while (i < spans.count && spans.start[i] <= view.to) {
        const x = xOf(spans.start[i]);
        const next = Math.max(firstFrom(spans.start, spans.count, timeAt(x + 5), i), i + 1);
        let shown = i;
        for (let k = i; k < Math.min(next, i + 200); k++) { /* misuse before a repair, and what matches before all */
            if (matches(k) > matches(shown) || (spans.kind[k] === KIND.misuse && matches(k) >= matches(shown))) {
                shown = k;
            }
        }
        pen.globalAlpha = matches(shown) ? 1 : FAINT;
        fillMark(pen, spans.kind[shown], x, y);
        i = next;
    }
    pen.globalAlpha = 1;
}

function drawOver(pen, lane, y) {
    const spans = lane.over; /* rare: a thread has one deadlock */
    for (let i = 0; i < spans.count; i++) {
        if (spans.end[i] > view.from && spans.start[i] < view.to) {
            drawSpans(pen, lane, spans, i, i + 1, y + BAR_Y - 1, BAR_HEIGHT + 2);
        }
    }
}

function drawThread(pen, row, y) {
    const { lane } = row;
    pen.save();
    pen.beginPath();
    pen.rect(NAMES, y, view.width - NAMES, row.height);
    pen.clip();
    pen.font = '11px ' + FONT;
    drawLayer(pen, lane, lane.bar, y + BAR_Y, BAR_HEIGHT);
    drawLayer(pen, lane, lane.strip, y + STRIP_Y, STRIP_HEIGHT);
    drawOver(pen, lane, y);
    drawMarks(pen, lane, y + MARK_Y);
    pen.restore();

    pen.globalAlpha = !query || isNamed(lane) || laneHasMatch(lane) ? 1 : 0.45;
    const number = String(lane.tid);
    pen.font = '11px ' + FONT;
    pen.fillStyle = colours.quiet;
    pen.textAlign = 'right';
    pen.fillText(number, NAMES - 10, y + 19.5);
    const room = NAMES - 30 - pen.measureText(number).width;
    pen.textAlign = 'left';
    pen.font = '12px ' + FONT;
    pen.fillStyle = colours.text;
    pen.fillText(shorten(pen, lane.name || 'thread', room), 12, y + 19.5);
    pen.globalAlpha = 1;
}

/* Known per query, not per frame. */
function laneHasMatch(lane) {
    if (lane.matchNumber !== queryNumber) {
        lane.matchNumber = queryNumber;
        lane.hasMatch = ['bar', 'mark', 'over'].some((layer) => {
            const matches = matcher(lane, lane[layer]);
            for (let i = 0; i < lane[layer].count; i++) {
                if (matches(i)) {
                    return true;
                }
            }
            return false;
        });
    }
    return lane.hasMatch;
}

/* ---- all ---- */

function nameOfProcess(process) {
    return (process.name || process.file) + (process.pid ? ' ' + process.pid : '');
}

function stepOfRuler() {
    const rough = ((view.to - view.from) / Math.max(view.width - NAMES, 1)) * 110;
    const power = Math.pow(10, Math.floor(Math.log10(rough)));
    const factor = rough / power;
    return (factor > 5 ? 10 : factor > 2 ? 5 : factor > 1 ? 2 : 1) * power;
}

function drawRuler(pen, step) {
    pen.fillStyle = colours.bar;
    pen.fillRect(0, 0, view.width, RULER);
    pen.font = '11px ' + FONT;
    pen.fillStyle = colours.quiet;
    pen.textAlign = 'left';
    pen.fillText('since the first event', 12, RULER / 2 + 0.5);
    const first = Math.ceil(view.from / step);
    // Beyond 2^53 adding 1 changes nothing.
    for (let i = first, n = 0; i * step <= view.to && n < TICKS; i++, n++) {
        const x = xOf(i * step);
        if (x < NAMES - 0.5) {
            continue;
        }
        pen.fillStyle = colours.line;
        pen.fillRect(Math.round(x), RULER - 7, 1, 7);
        pen.fillStyle = colours.quiet;
        pen.fillText(inWords(i * step, step), x + 4, RULER / 2 + 0.5);
    }
    pen.fillStyle = colours.line;
    pen.fillRect(0, RULER - 1, view.width, 1);
}

function drawRow(pen, row, y, step) {
    pen.fillStyle = row.process ? colours.bar : row.index % 2 ? colours.band : colours.back;
    pen.fillRect(0, y, view.width, row.height);
    if (row.process) {
        pen.font = '600 12px ' + FONT;
        pen.fillStyle = colours.text;
        pen.textAlign = 'left';
        const threads = plural(row.process.lanes.length, 'thread');
        pen.fillText(nameOfProcess(row.process) + '  \u2013  ' + threads, 12, y + row.height / 2 + 0.5);
        return;
    }
    pen.fillStyle = colours.line;
    const first = Math.ceil(view.from / step);
    // Beyond 2^53 adding 1 changes nothing.
    for (let i = first, n = 0; i * step <= view.to && n < TICKS; i++, n++) {
        pen.fillRect(Math.round(xOf(i * step)), y, 1, row.height);
    }
    pen.fillRect(NAMES - 1, y, 1, row.height);
    drawThread(pen, row, y);
}

/* Frames what the details are of. */
function drawFrame(pen, thing, scrolled, colour) {
    const row = thing && view.rows.find((other) => other.lane === thing.lane);
    if (!row || thing.layer === undefined) {
        return;
    }
    const y = RULER + row.y - scrolled;
    const left = Math.max(xOf(thing.from), NAMES);
    const right = Math.min(xOf(thing.to), view.width);
    if (right < NAMES || left > view.width) {
        return;
    }
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    const box = { strip: [STRIP_Y, STRIP_HEIGHT], mark: [1, 10] }[thing.layer] || [BAR_Y, BAR_HEIGHT];
    const wide = thing.layer === 'mark' ? 11 : Math.max(right - left, 2);
    pen.strokeRect((thing.layer === 'mark' ? left - 5.5 : left) - 1, y + box[0] - 1, wide + 2, box[1] + 2);
}

function draw() {
    const canvas = document.getElementById('tracks');
    const scrolled = document.getElementById('scroll').scrollTop;
    const pen = prepare(canvas, view.width, view.tall);
    const step = stepOfRuler();
    pen.textBaseline = 'middle';
    pen.fillStyle = colours.back;
    pen.fillRect(0, 0, view.width, view.tall);
    for (const row of view.rows) {
        const y = RULER + row.y - scrolled;
        if (y + row.height > 0 && y < view.tall) {
            drawRow(pen, row, y, step);
        }
    }
    drawFrame(pen, view.hovered, scrolled, colours.focus);
    drawFrame(pen, view.chosen, scrolled, colours.chosen);
    drawRuler(pen, step);
    if (!view.rows.length) {
        pen.fillStyle = colours.quiet;
        pen.font = '13px ' + FONT;
        const text = eventCount ? 'No thread does anything in this time.' : 'There are no events in this timeline.';
        pen.fillText(text, 12, RULER + 24);
    }
}
