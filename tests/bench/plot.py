"""Draws what tests/bench/programs measured, as SVG, by hand: nothing but Python is needed."""

import math

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 430, 300, 56, 44, 40
COLORS = {"bare": "#666666", "pass-through": "#999999", "the shim": "#1f6fb4", "keep=1": "#d1731d"}
DASHES = {"pass-through": ' stroke-dasharray="4 3"'}


def ticks(low, high):
    """1, 2, 5, 10... that span the values"""
    steps = [m * 10 ** e for e in range(0, 9) for m in (1, 2, 5)]
    first = max([s for s in steps if s <= low] or [steps[0]])
    last = min([s for s in steps if s >= high] or [steps[-1]])
    return [s for s in steps if first <= s <= last]


def short(number):
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return "%g%s" % (number / unit, name)
    return "%g" % number


def panel(x0, title, x_title, xs, series):
    """One diagram, both axes logarithmic. series: {side: [y of each x]}"""
    marks = ticks(min(min(ys) for ys in series.values()), max(max(ys) for ys in series.values()))
    right, floor = x0 + WIDTH - 16, HEIGHT - BOTTOM

    def x_of(x):
        return x0 + LEFT + (math.log(x / xs[0]) / math.log(xs[-1] / xs[0])) * (WIDTH - LEFT - 16)

    def y_of(y):
        return floor - math.log(y / marks[0]) / math.log(marks[-1] / marks[0]) * (floor - TOP)

    out = ['<text x="%d" y="20" font-weight="bold">%s</text>' % (x0 + LEFT, title)]
    for mark in marks:
        out.append('<path d="M%.1f %.1fH%.1f" stroke="#dddddd"/>' % (x0 + LEFT, y_of(mark), right))
        out.append('<text x="%.1f" y="%.1f" text-anchor="end">%s</text>' % (x0 + LEFT - 6, y_of(mark) + 4, short(mark)))
    for x in xs:
        out.append('<text x="%.1f" y="%d" text-anchor="middle">%d</text>' % (x_of(x), floor + 16, x))
    out.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % ((x0 + LEFT + right) / 2, HEIGHT - 8, x_title))
    for side, ys in series.items():
        points = " ".join("%.1f,%.1f" % (x_of(x), y_of(y)) for x, y in zip(xs, ys))
        out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>' % (points, COLORS[side], DASHES.get(side, "")))
    return out


def draw(path, tag, results, depths, threads):
    deep = {side: [results["call-backs nested to depth %d, ns a pair" % d][side] for d in depths]
            for side in COLORS if side in results["start-up, ms"] and side != "keep=1"}
    wide = {side: [results["%d foreign threads call in, calls/s" % n][side] for n in threads]
            for side in COLORS if side in results["start-up, ms"]}
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">'
           % (2 * WIDTH, HEIGHT + 24), '<rect width="100%" height="100%" fill="white"/>']
    out += panel(0, "Ensure/Release, ns a pair (%s)" % tag, "depth of nested call-backs", depths, deep)
    out += panel(WIDTH, "calls from foreign threads, a second (%s)" % tag, "threads", threads, wide)
    x = LEFT
    for side in wide:
        out.append('<path d="M%d %dh24" stroke="%s" stroke-width="2"%s/>' % (x, HEIGHT + 10, COLORS[side], DASHES.get(side, "")))
        out.append('<text x="%d" y="%d">%s</text>' % (x + 30, HEIGHT + 14, side))
        x += 50 + 8 * len(side)
    with open(path, "w") as file:
        file.write("\n".join(out + ["</svg>\n"]))
