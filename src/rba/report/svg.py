"""Pieces of charts: the picture around them, grids, axes, labels and paths, as SVG text.

Pictures are 360 units wide, which is a phone's column and a third of a desktop's, so that text is never scaled far.
Colours are CSS variables (`--c`) that the page sets per class, for light and for dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rba.report import axes
from rba.report.axes import Scale

WIDTH = 360
LEFT = 44.0


def picture(height: float, title: str, body: str) -> str:
    """A whole SVG, 360 units wide, with a title for those who cannot see it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {number(height)}" role="img"'
    return f'{head} aria-label="{escape(title)}">{body}</svg>'


def y_grid(marks: Sequence[float], scale: Scale, left: float) -> str:
    """Horizontal lines at the tick values, labelled at the left."""
    parts = []
    for value, said in zip(marks, axes.labels(marks)):
        y = scale(value)
        parts.append(f'<path class="grid" d="M{number(left)} {number(y)}H{WIDTH - 12}"/>')
        parts.append(text(left - 7, y + 3.5, said, "end"))
    return "".join(parts)


def x_axis(marks: Sequence[float], scale: Scale, y: float, name: str) -> str:
    """The horizontal axis at height `y` with its tick labels and its name."""
    parts = [f'<path class="axis" d="M{number(scale.start)} {number(y)}H{number(scale.end)}"/>']
    parts += [text(scale(v), y + 16, said, "middle") for v, said in zip(marks, axes.labels(marks))]
    if name:
        parts.append(text(scale.end, y + 31, name, "end"))
    return "".join(parts)


def text(x: float, y: float, words: str, anchor: str, kind: str = "tick") -> str:
    """A label; `anchor` is start, middle or end, `kind` its CSS class."""
    return f'<text class="{kind}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{escape(words)}</text>'


def path(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    """The path through points in data units."""
    return "M" + "L".join(f"{number(x(a))} {number(y(b))}" for a, b in points)


def number(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
