'use strict';
/* The strip at the top of the page: all of the time, with how many threads held (blue) and waited (orange), and the window that
 * is shown below. */

const strip = document.createElement('canvas'); /* drawn once for each size; the window is drawn over it */

/* Adds to the columns how much of each a span covers: sums of differences, so that a long span costs no more than a short. */
function addSpan(columns, from, to) {
    const last = columns.length - 3;
    const left = Math.min(Math.max(from, 0), last);
    const right = Math.min(Math.max(to, left), last);
    for (const [at, sign] of [[left, 1], [right, -1]]) {
        const whole = Math.floor(at);
        columns[whole] += sign * (1 - (at - whole));
        columns[whole + 1] += sign * (at - whole);
    }
}

function drawStrip(width, height) {
    const pen = prepare(strip, width, height);
    const scale = width / Math.max(timeEnd, 1e-9);
    const held = new Float64Array(width + 3);
    const waited = new Float64Array(width + 3);
    for (const lane of allLanes()) {
        const spans = lane.bar;
        for (let i = 0; i < spans.count; i++) {
            const columns = isHold(spans.kind[i]) ? held : isWait(spans.kind[i]) ? waited : null;
            if (columns) {
                addSpan(columns, spans.start[i] * scale, spans.end[i] * scale);
            }
        }
    }
    let most = 1;
    const each = (use) => {
        let h = 0;
        let w = 0;
        for (let x = 0; x < width; x++) {
            h += held[x];
            w += waited[x];
            use(x, Math.max(h, 0), Math.max(w, 0));
        }
    };
    each((x, h, w) => (most = Math.max(most, h + w)));
    each((x, h, w) => {
        pen.fillStyle = colours['hold-0'];
        pen.fillRect(x, height - (h / most) * height, 1, (h / most) * height);
        pen.fillStyle = colours.wait;
        pen.fillRect(x, height - ((h + w) / most) * height, 1, (w / most) * height);
    });
    strip.drawnFor = width + ' ' + height + ' ' + window.devicePixelRatio + ' ' + colours.back;
}

function drawOverview() {
    const canvas = document.getElementById('overview');
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (strip.drawnFor !== width + ' ' + height + ' ' + window.devicePixelRatio + ' ' + colours.back) {
        drawStrip(width, height);
    }
    const pen = prepare(canvas, width, height);
    pen.drawImage(strip, 0, 0, width, height);
    const left = (view.from / timeEnd) * width;
    const right = Math.max((view.to / timeEnd) * width, left + 2);
    pen.fillStyle = colours.back;
    pen.globalAlpha = 0.72;
    pen.fillRect(0, 0, left, height);
    pen.fillRect(right, 0, width - right, height);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.focus;
    pen.lineWidth = 2;
    pen.strokeRect(Math.max(left, 1), 1, Math.min(right, width - 1) - Math.max(left, 1), height - 2);
}
