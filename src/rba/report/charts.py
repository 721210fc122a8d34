"""Charts: training curves, and dots with intervals. Pure functions from numbers to SVG text.

Every mark has a text that shows when it is pointed at.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rba.report import axes, svg
from rba.report.axes import Scale

MARKED = 60
DRAWN = 240
ROW = 16
"""Between the rows of a legend."""


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


def line_chart(lines: Sequence[Line], title: str, x_label: str = "step") -> str:
    """Lines over a shared x axis with legend, grid and hover texts; noisy series are smoothed over their raw trace.

    Points that are not finite are left out; without any, the chart says so.
    """
    lines = [Line(s.name, [p for p in s.points if all(map(math.isfinite, p))], s.colour) for s in lines]
    lines = [s for s in lines if s.points]
    if not lines:
        return svg.picture(60, title, svg.text(svg.WIDTH / 2, 34, "no values were logged", "middle"))
    smooth = {s.name: smoothed(s.points) for s in lines}
    legend, rows = _legend([(s.name, s.colour) for s in lines])
    top, left = (14 + ROW * rows if rows else 8), svg.LEFT
    plot_bottom = top + 146
    shown = [p for points in smooth.values() for p in points]
    y_ticks = axes.ticks(*axes.extent(y for _, y in shown))
    y_scale = Scale(y_ticks[0], y_ticks[-1], plot_bottom, top)
    x_low, x_high = axes.extent(x for s in lines for x, _ in s.points)
    x_ticks = [t for t in axes.ticks(x_low, x_high) if x_low <= t <= x_high]
    if all(x == int(x) for s in lines for x, _ in s.points):
        x_ticks = [t for t in x_ticks if t == int(t)]
    x_scale = Scale(x_low, x_high, left, svg.WIDTH - 12)
    body = legend + svg.y_grid(y_ticks, y_scale, left) + svg.x_axis(x_ticks, x_scale, plot_bottom, x_label)
    # a nested svg clips what runs out of the plot, without ids that clash on the page
    inside = "".join(_series(s, smooth[s.name], x_scale, y_scale) for s in lines)
    frame = f'x="{left - 4}" y="{top - 4}" width="{svg.WIDTH - left}" height="{plot_bottom - top + 8}"'
    view = f'viewBox="{left - 4} {top - 4} {svg.WIDTH - left} {plot_bottom - top + 8}"'
    return svg.picture(plot_bottom + 34, title, f"{body}<svg {frame} {view}>{inside}</svg>")


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
        raw = f'<path class="raw" d="{svg.path(line.points[::every], x, y)}"/>'
    drawn = f'<path class="line" d="{svg.path(smooth, x, y)}"/>' if len(smooth) > 1 else ""
    dots = "dot" if len(smooth) <= 12 else "hit"
    every = math.ceil(len(smooth) / MARKED)
    marks = [
        f'<circle class="{dots}" cx="{svg.number(x(a))}" cy="{svg.number(y(b))}" r="{3 if dots == "dot" else 6}">'
        f"<title>{escape(line.name)}: {axes.brief(b)} at {axes.brief(a)}</title></circle>"
        for a, b in smooth[::every]
    ]
    return f'<g class="{escape(line.colour)}">{raw}{drawn}{"".join(marks)}</g>'


def interval_chart(rows: Sequence[Interval], title: str, reference: float | None = None) -> str:
    """A dot and a 95 % interval per row on one axis, the value at the right; `reference` is a dashed line."""
    if not rows:
        return svg.picture(60, title, svg.text(svg.WIDTH / 2, 34, "no values", "middle"))
    left, right, top, pitch = 96, svg.WIDTH - 52, 8, 25
    bottom = top + pitch * len(rows)
    ends = [v for r in rows for v in (r.value, r.low, r.high) if v is not None]
    marks = axes.ticks(*axes.extent([*ends, *([] if reference is None else [reference])]), count=4)
    scale = Scale(marks[0], marks[-1], left, right)
    body = "".join(f'<path class="grid" d="M{svg.number(scale(t))} {top}V{bottom}"/>' for t in marks)
    if reference is not None:
        body += f'<path class="reference" d="M{svg.number(scale(reference))} {top}V{bottom}"/>'
    body += svg.x_axis(marks, scale, bottom, "")
    for i, row in enumerate(rows):
        body += _interval_row(row, scale, top + pitch * (i + 0.5))
    return svg.picture(bottom + 24, title, body)


def _interval_row(row: Interval, scale: Scale, y: float) -> str:
    shown = row.text or axes.brief(row.value)
    name = svg.text(88, y + 4, row.name, "end", "name")
    bar, hover = "", f"{row.name}: {shown}"
    if row.low is not None and row.high is not None:
        bar = (
            f'<path class="interval" d="M{svg.number(scale(row.low))} {svg.number(y)}H{svg.number(scale(row.high))}"/>'
        )
        hover += f" (95 % interval {axes.brief(row.low)} to {axes.brief(row.high)})"
    dot = f'<circle class="dot" cx="{svg.number(scale(row.value))}" cy="{svg.number(y)}" r="5"/>'
    value = svg.text(svg.WIDTH - 2, y + 4, shown, "end", "value")
    return f'<g class="{escape(row.colour)}"><title>{escape(hover)}</title>{name}{bar}{dot}{value}</g>'


def _legend(entries: Sequence[tuple[str, str]]) -> tuple[str, int]:
    """A line sample and a name per series, and in how many rows; nothing for a single series without a name."""
    if len(entries) == 1 and not entries[0][0]:
        return "", 0
    x, row, parts = svg.LEFT, 0, []
    for name, colour in entries:
        wide = 30 + 6.4 * len(name)
        if x > svg.LEFT and x + wide > svg.WIDTH:
            x, row = svg.LEFT, row + 1
        y = ROW * row
        parts.append(f'<g class="{escape(colour)}"><path class="line" d="M{svg.number(x)} {9 + y}h14"/></g>')
        parts.append(svg.text(x + 19, 13 + y, name, "start", "name"))
        x += wide
    return "".join(parts), row + 1
