"""Small SVG charts of the page of a plan, without any package: axes with logarithmic steps, lines with marks, stacked bars."""
import html
import math

COLORS = ("#3f6fb5", "#c98a1b", "#4c956c", "#b5533f", "#7a5ba6", "#4a9aa8", "#8a8a2b", "#b0588f", "#6b6b6b")
WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 44


def number_text(value):
    if value == 0: return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def text(x, y, words, anchor="middle", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{html.escape(str(words))}</text>'


def svg(body, height=HEIGHT, width=WIDTH):
    return (f'<svg viewBox="0 0 {width} {height:.0f}" xmlns="http://www.w3.org/2000/svg" role="img" '
            f'style="width:100%;height:auto;font:11px Helvetica,Arial,sans-serif;fill:#444">{body}</svg>')


def steps_of(low, high):
    """Round numbers between two positive ones: 1, 2 and 5 of each power of ten, or the powers alone if they are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1,)):
        steps = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
        if 2 <= len(steps) <= 7: return steps
    return steps[::max(1, len(steps) // 6)] if steps else [low, high]


class Scale:
    """A logarithmic axis from numbers to places. A value of 0 (no speed asked for) stands left of the others."""

    def __init__(self, values, begin, end, pad=0.04):
        positive = [v for v in values if v > 0] or [1]
        self.low, self.high, self.zero = min(positive), max(positive), any(v <= 0 for v in values)
        if self.high / self.low < 1.05: self.low, self.high = self.low / 1.5, self.high * 1.5
        span = (end - begin) * pad
        self.begin, self.end = begin + span + ((end - begin) * 0.08 if self.zero else 0), end - span
        self.at_zero = begin + span

    def __call__(self, value):
        if value <= 0: return self.at_zero
        return self.begin + (self.end - self.begin) * math.log(value / self.low) / math.log(self.high / self.low)


def axes(x, y, x_name, y_name, x_steps=None, height=HEIGHT):
    out = [f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{height - TOP - BOTTOM}" fill="none" stroke="#ccc"/>']
    for v in x_steps or steps_of(x.low, x.high):
        out.append(f'<line x1="{x(v):.1f}" x2="{x(v):.1f}" y1="{height - BOTTOM}" y2="{height - BOTTOM + 4}" stroke="#999"/>')
        out.append(text(x(v), height - BOTTOM + 16, "none" if v <= 0 else number_text(v)))
    for v in steps_of(y.low, y.high):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#eee"/>')
        out.append(text(LEFT - 6, y(v) + 4, number_text(v), "end"))
    middle = (TOP + height - BOTTOM) / 2
    out.append(text((LEFT + WIDTH - RIGHT) / 2, height - 8, x_name))
    out.append(text(14, middle, y_name, extra=f'transform="rotate(-90 14 {middle:.1f})"'))
    return "".join(out)


def legend(names, colors, y, width=WIDTH):
    """Squares with names in rows from y on; with the height that they take."""
    out, x, row = [], LEFT, 0
    for name in names:
        size = 22 + 6.1 * len(name)
        if x + size > width - RIGHT and x > LEFT: x, row = LEFT, row + 1
        out.append(f'<rect x="{x:.1f}" y="{y + 16 * row - 9:.1f}" width="10" height="10" fill="{colors[name]}"/>' + text(x + 14, y + 16 * row, name, "start"))
        x += size
    return "".join(out), 16 * (row + 1)


def apart(values, place, space=34):
    """Those of ascending values whose places leave room for their labels."""
    kept = []
    for value in values:
        if not kept or abs(place(value) - place(kept[-1])) >= space: kept.append(value)
    return kept


def line_chart(lines, colors, x_name, y_name):
    """`lines`: (name, dashed, [(x, y, kind, ended)]); marks have the colour of their kind, a ring where memory ends."""
    xs = sorted({p[0] for line in lines for p in line[2]})
    ys = [p[1] for line in lines for p in line[2]]
    x, y = Scale(xs, LEFT, WIDTH - RIGHT), Scale(ys, HEIGHT - BOTTOM, TOP)
    out = [axes(x, y, x_name, y_name, apart(xs, x))]
    for name, dashed, points in lines:
        path = " ".join(f"{x(p[0]):.1f},{y(p[1]):.1f}" for p in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="#999" stroke-width="1.5"{" stroke-dasharray=" + chr(34) + "5 4" + chr(34) if dashed else ""}/>')
        for px, py, kind, ended in points:
            label = f"{name}: {number_text(px)}: {py:.4g}; {kind}" + ("; memory ends" if ended else "")
            out.append(f'<circle cx="{x(px):.1f}" cy="{y(py):.1f}" r="4.2" fill="{colors[kind]}" stroke="{"#222" if ended else "#fff"}"><title>{html.escape(label)}</title></circle>')
    names = [kind for kind in colors if any(p[2] == kind for line in lines for p in line[2])]
    marks, high = legend(names, colors, HEIGHT + 6)
    return svg("".join(out) + marks, HEIGHT + high)


def stacked_bars(bars, colors):
    """`bars`: (name, {term: share}); one row each, with the per cent of what is 4 or more."""
    row, out = 44, []
    for i, (name, shares) in enumerate(bars):
        x, y = LEFT, 8 + row * i
        out.append(text(LEFT - 6, y + 18, name, "end"))
        for term, share in shares.items():
            size = share * (WIDTH - LEFT - RIGHT)
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{max(size, 0):.1f}" height="28" fill="{colors[term]}"><title>{html.escape(term)} {100 * share:.1f} %</title></rect>')
            if share >= 0.04: out.append(text(x + size / 2, y + 18, f"{100 * share:.0f}", extra='style="fill:#fff"'))
            x += size
    names = [term for term in colors if any(shares.get(term, 0) > 0.002 for _, shares in bars)]
    marks, high = legend(names, colors, 8 + row * len(bars) + 12)
    return svg("".join(out) + marks, 8 + row * len(bars) + 12 + high)


def scatter(points, colors, x_name, y_name):
    """`points`: (published, predicted, family, name), with the diagonal and 20 % on both sides."""
    values = [p[0] for p in points] + [p[1] for p in points]
    size = 440
    x, y = Scale(values, LEFT, WIDTH - RIGHT), Scale(values, size - BOTTOM, TOP)
    low, high = x.low, x.high
    out = [axes(x, y, x_name, y_name, height=size)]
    for factor, dash in ((1, ""), (1.2, "4 4"), (1 / 1.2, "4 4")):
        a, b = max(low, low / factor), min(high, high / factor)
        out.append(f'<line x1="{x(a):.1f}" y1="{y(a * factor):.1f}" x2="{x(b):.1f}" y2="{y(b * factor):.1f}" stroke="#888" stroke-dasharray="{dash}"/>')
    for published, predicted, family, name in points:
        label = f"{name}: {number_text(published)} published, {number_text(predicted)} predicted ({100 * (predicted / published - 1):+.0f} %)"
        out.append(f'<circle cx="{x(published):.1f}" cy="{y(predicted):.1f}" r="4" fill="{colors[family]}" fill-opacity="0.8"><title>{html.escape(label)}</title></circle>')
    marks, high = legend(list(colors), colors, size + 6)
    return svg("".join(out) + marks, size + high)
