"""Bars: shares beside a mark to compare them with, and histograms. Pure functions from numbers to SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rba.report import axes, svg
from rba.report.axes import Scale


@dataclass(frozen=True)
class Share:
    """A bar in per cent, with an optional mark to compare it with; `detail` is its hover text."""

    name: str
    percent: float
    mark: float | None = None
    detail: str = ""


def share_chart(shares: Sequence[Share], title: str, mark_name: str = "") -> str:
    """Horizontal bars of per cent, each with its number; a tick marks the value to compare with."""
    if not shares:
        return svg.picture(60, title, svg.text(svg.WIDTH / 2, 34, "no values", "middle"))
    left, right, pitch = 132, svg.WIDTH - 60, 24
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
            wide = svg.number(max(scale(share.percent) - left, 1.5))
            bar = f'<rect class="bar" x="{left}" y="{y + 4}" width="{wide}" height="12" rx="3"/>'
        if share.mark is not None:
            tick = f'<path class="mark" d="M{svg.number(scale(share.mark))} {y + 1}v18"/>'
        name = svg.text(left - 8, y + 14, share.name, "end", "name")
        number = svg.text(svg.WIDTH - 2, y + 14, f"{share.percent:.1f} %", "end", "value")
        body += f"<g><title>{escape(hover)}</title>{name}{bar}{tick}{number}</g>"
    return svg.picture(8 + pitch * len(shares), title, body)


def histogram(values: Sequence[float], title: str, x_label: str, bins: int = 24) -> str:
    """How often each range of `values` occurs, in about `bins` bins with round borders."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return svg.picture(60, title, svg.text(svg.WIDTH / 2, 34, "no values", "middle"))
    low, high = axes.extent(finite)
    if all(v == int(v) for v in finite):
        high = max(finite) + 1  # a bin ends before the next whole number, the last one, too
        bins = min(bins, int(high - low)) + 1  # bins of whole width, lest every other one be empty
    edges = axes.ticks(low, high, count=bins)
    step = edges[1] - edges[0]
    counts = [0] * (len(edges) - 1)
    for value in finite:
        counts[min(int((value - edges[0]) / step + 1e-9), len(counts) - 1)] += 1
    height, left, top, bottom = 170, svg.LEFT, 10, 136
    y_ticks = axes.ticks(0, max(counts), count=4)
    y_scale, x_scale = Scale(0, y_ticks[-1], bottom, top), Scale(edges[0], edges[-1], left, svg.WIDTH - 12)
    wide = (svg.WIDTH - 12 - left) / len(counts)
    body = svg.y_grid(y_ticks, y_scale, left)
    for i, count in enumerate(counts):
        if count:
            x, y = svg.number(left + i * wide + 0.7), y_scale(count)
            size = f'width="{svg.number(max(wide - 1.4, 1))}" height="{svg.number(bottom - y)}"'
            hover = f"{axes.brief(edges[i])} to {axes.brief(edges[i + 1])} {x_label}: {count:,}"
            body += (
                f'<rect class="bar" x="{x}" y="{svg.number(y)}" {size} rx="1.5"><title>{escape(hover)}</title></rect>'
            )
    marks = [t for t in axes.ticks(edges[0], edges[-1]) if edges[0] <= t <= edges[-1]]
    return svg.picture(height, title, body + svg.x_axis(marks, x_scale, bottom, x_label))
