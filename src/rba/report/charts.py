"""Charts: pure functions from numbers to SVG text.

All are 360 units wide, which is a phone's column and a third of a desktop's, so that text is never scaled far. Colours
are CSS variables (`--c`) that the page sets per class, for light and for dark; every chart has a title for those who
cannot see it, and every mark a text that shows when it is pointed at.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from rba.report import axes
from rba.report.axes import Scale

WIDTH = 360
LEFT = 44.0
MARKED = 60
DRAWN = 240


@dataclass(frozen=True)
class Line:
    """One series: (x, y) points in order of x, and the CSS class of its colour."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = ""


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; `low` and `high` may be None."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    colour: str = ""
    text: str = ""


@dataclass(frozen=True)
class Share:
    """A bar in per cent, with an optional mark to compare it with; `detail` is its hover text."""

    name: str
    percent: float
    mark: float | None = None
    detail: str = field(default="")


def line_chart(lines: Sequence[Line], title: str, x_label: str = "step") -> str:
    """Lines over a shared x axis with legend, grid and hover texts; noisy series are smoothed over their raw trace.

    Points that are not finite are left out; without any, the chart says so.
    """
    lines = [Line(s.name, [p for p in s.points if all(map(math.isfinite, p))], s.colour) for s in lines]
    lines = [s for s in lines if s.points]
    if not lines:
        return _svg(60, title, _text(WIDTH / 2, 34, "no values were logged", "middle"))
    smooth = {s.name: smoothed(s.points) for s in lines}
    legend = _legend([(s.name, s.colour) for s in lines])
    top, left = (30, LEFT) if legend else (8, LEFT)
    plot_bottom = top + 146
    shown = [p for points in smooth.values() for p in points]
    y_ticks = axes.ticks(*axes.extent(y for _, y in shown))
    y_scale = Scale(y_ticks[0], y_ticks[-1], plot_bottom, top)
    x_low, x_high = axes.extent(x for s in lines for x, _ in s.points)
    x_ticks = [t for t in axes.ticks(x_low, x_high) if x_low <= t <= x_high]
    x_scale = Scale(x_low, x_high, left, WIDTH - 12)
    body = legend + _y_grid(y_ticks, y_scale, left) + _x_axis(x_ticks, x_scale, plot_bottom, x_label)
    # a nested svg clips what runs out of the plot, without ids that clash on the page
    inside = "".join(_series(s, smooth[s.name], x_scale, y_scale) for s in lines)
    frame = f'x="{left - 4}" y="{top - 4}" width="{WIDTH - left}" height="{plot_bottom - top + 8}"'
    view = f'viewBox="{left - 4} {top - 4} {WIDTH - left} {plot_bottom - top + 8}"'
    return _svg(plot_bottom + 34, title, f"{body}<svg {frame} {view}>{inside}</svg>")


def smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 240 points of a series; of a noisy one with more than 60 points, its running mean over 4 % of it.

    Noisy is what goes up and down more than three times as far as its range: a schedule keeps its corners.
    """
    if len(points) <= MARKED:
        return list(points)
    values = [y for _, y in points]
    travelled = sum(abs(b - a) for a, b in itertools.pairwise(values))
    noisy = travelled > 3 * (max(values) - min(values))
    reach = max(1, len(points) // 50) if noisy else 0
    total = [0.0]
    for _, y in points:
        total.append(total[-1] + y)
    every = math.ceil(len(points) / DRAWN)
    kept = sorted({*range(0, len(points), every), len(points) - 1})
    means = []
    for i in kept:
        first, last = max(0, i - reach), min(len(points), i + reach + 1)
        means.append((points[i][0], (total[last] - total[first]) / (last - first)))
    return means


def _series(line: Line, smooth: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    raw, drawn_points = "", set(smooth)
    if any(point not in drawn_points for point in line.points):
        every = math.ceil(len(line.points) / DRAWN)
        raw = f'<path class="raw" d="{_path(line.points[::every], x, y)}"/>'
    drawn = f'<path class="line" d="{_path(smooth, x, y)}"/>' if len(smooth) > 1 else ""
    dots = "dot" if len(smooth) <= 12 else "hit"
    every = math.ceil(len(smooth) / MARKED)
    marks = [
        f'<circle class="{dots}" cx="{_n(x(a))}" cy="{_n(y(b))}" r="{3 if dots == "dot" else 6}">'
        f"<title>{escape(line.name)}: {axes.brief(b)} at {axes.brief(a)}</title></circle>"
        for a, b in smooth[::every]
    ]
    return f'<g class="{escape(line.colour)}">{raw}{drawn}{"".join(marks)}</g>'


def interval_chart(rows: Sequence[Interval], title: str, reference: float | None = None) -> str:
    """A dot and a 95 % interval per row on one axis, the value at the right; `reference` is a dashed line."""
    if not rows:
        return _svg(60, title, _text(WIDTH / 2, 34, "no values", "middle"))
    left, right, top, pitch = 96, WIDTH - 52, 8, 25
    bottom = top + pitch * len(rows)
    ends = [v for r in rows for v in (r.value, r.low, r.high) if v is not None]
    marks = axes.ticks(*axes.extent([*ends, *([] if reference is None else [reference])]), count=4)
    scale = Scale(marks[0], marks[-1], left, right)
    body = "".join(f'<path class="grid" d="M{_n(scale(t))} {top}V{bottom}"/>' for t in marks)
    if reference is not None:
        body += f'<path class="reference" d="M{_n(scale(reference))} {top}V{bottom}"/>'
    body += _x_axis(marks, scale, bottom, "")
    for i, row in enumerate(rows):
        body += _interval_row(row, scale, top + pitch * (i + 0.5))
    return _svg(bottom + 24, title, body)


def _interval_row(row: Interval, scale: Scale, y: float) -> str:
    shown = row.text or axes.brief(row.value)
    name = _text(88, y + 4, row.name, "end", "name")
    bar, hover = "", f"{row.name}: {shown}"
    if row.low is not None and row.high is not None:
        bar = f'<path class="interval" d="M{_n(scale(row.low))} {_n(y)}H{_n(scale(row.high))}"/>'
        hover += f" (95 % interval {axes.brief(row.low)} to {axes.brief(row.high)})"
    dot = f'<circle class="dot" cx="{_n(scale(row.value))}" cy="{_n(y)}" r="5"/>'
    value = _text(WIDTH - 2, y + 4, shown, "end", "value")
    return f'<g class="{escape(row.colour)}"><title>{escape(hover)}</title>{name}{bar}{dot}{value}</g>'


def share_chart(shares: Sequence[Share], title: str, mark_name: str = "") -> str:
    """Horizontal bars of per cent, each with its number; a tick marks the value to compare with."""
    if not shares:
        return _svg(60, title, _text(WIDTH / 2, 34, "no values", "middle"))
    left, right, pitch = 132, WIDTH - 60, 24
    most = max([1.0, *(max(s.percent, s.mark or 0.0) for s in shares)])
    scale = Scale(0, most, left, right)
    body = ""
    for i, share in enumerate(shares):
        y = 4 + pitch * i
        hover = share.detail or f"{share.name}: {share.percent:.1f} %"
        if share.mark is not None:
            hover += f", {mark_name} {share.mark:.1f} %"
        bar, tick = "", ""
        if share.percent > 0:
            wide = _n(max(scale(share.percent) - left, 1.5))
            bar = f'<rect class="bar" x="{left}" y="{y + 4}" width="{wide}" height="12" rx="3"/>'
        if share.mark is not None:
            tick = f'<path class="mark" d="M{_n(scale(share.mark))} {y + 1}v18"/>'
        name = _text(left - 8, y + 14, share.name, "end", "name")
        number = _text(WIDTH - 2, y + 14, f"{share.percent:.1f} %", "end", "value")
        body += f"<g><title>{escape(hover)}</title>{name}{bar}{tick}{number}</g>"
    return _svg(8 + pitch * len(shares), title, body)


def histogram(values: Sequence[float], title: str, x_label: str, bins: int = 24) -> str:
    """How often each range of `values` occurs, in about `bins` bins with round borders."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return _svg(60, title, _text(WIDTH / 2, 34, "no values", "middle"))
    low, high = axes.extent(finite)
    if all(v == int(v) for v in finite):
        # whole numbers fall in bins of whole width, lest every other bin be empty
        bins = min(bins, max(2, int(high - low) + 1))
    edges = axes.ticks(low, high, count=bins)
    step = edges[1] - edges[0]
    counts = [0] * (len(edges) - 1)
    for value in finite:
        counts[min(int((value - edges[0]) / step + 1e-9), len(counts) - 1)] += 1
    height, left, top, bottom = 170, LEFT, 10, 136
    y_ticks = axes.ticks(0, max(counts), count=4)
    y_scale, x_scale = Scale(0, y_ticks[-1], bottom, top), Scale(edges[0], edges[-1], left, WIDTH - 12)
    wide = (WIDTH - 12 - left) / len(counts)
    body = _y_grid(y_ticks, y_scale, left)
    for i, count in enumerate(counts):
        if count:
            y = y_scale(count)
            hover = f"{axes.brief(edges[i])} to {axes.brief(edges[i + 1])} {x_label}: {count:,}"
            body += f'<rect class="bar" x="{_n(left + i * wide + 0.7)}" y="{_n(y)}" width="{_n(max(wide - 1.4, 1))}" '
            body += f'height="{_n(bottom - y)}" rx="1.5"><title>{escape(hover)}</title></rect>'
    marks = [t for t in axes.ticks(edges[0], edges[-1]) if edges[0] <= t <= edges[-1]]
    return _svg(height, title, body + _x_axis(marks, x_scale, bottom, x_label))


def _svg(height: float, title: str, body: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {_n(height)}" role="img"'
    return f'{head} aria-label="{escape(title)}">{body}</svg>'


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    """A line sample and a name per series, in one row above the plot; nothing for a single series without a name."""
    if len(entries) == 1 and not entries[0][0]:
        return ""
    x, parts = LEFT, []
    for name, colour in entries:
        parts.append(f'<g class="{escape(colour)}"><path class="line" d="M{_n(x)} 9h14"/></g>')
        parts.append(_text(x + 19, 13, name, "start", "name"))
        x += 30 + 6.4 * len(name)
    return "".join(parts)


def _y_grid(marks: Sequence[float], scale: Scale, left: float) -> str:
    parts = []
    for value, text in zip(marks, axes.labels(marks)):
        y = scale(value)
        parts.append(f'<path class="grid" d="M{_n(left)} {_n(y)}H{WIDTH - 12}"/>{_text(left - 7, y + 3.5, text, "end")}')
    return "".join(parts)


def _x_axis(marks: Sequence[float], scale: Scale, y: float, name: str) -> str:
    parts = [f'<path class="axis" d="M{_n(scale.start)} {_n(y)}H{_n(scale.end)}"/>']
    parts += [_text(scale(v), y + 16, text, "middle") for v, text in zip(marks, axes.labels(marks))]
    if name:
        parts.append(_text(scale.end, y + 31, name, "end"))
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(text)}</text>'


def _path(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return "M" + "L".join(f"{_n(x(a))} {_n(y(b))}" for a, b in points)


def _n(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
