"""Axes: round tick values, tick labels, and the way from data to drawing units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A linear map from `low..high` in data units to `start..end` in drawing units; `scale(value)` applies it."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of `value`; values outside the range land outside."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def extent(values: Iterable[float]) -> tuple[float, float]:
    """The least and the greatest finite value, widened where only rounding parts them; (0, 1) where there is none."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * size or size < 1e-9:  # rounding noise is no range
        room = size * 0.05 if size >= 1e-9 else 0.5
        return low - room, high + room
    return low, high


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values that enclose `low..high`: steps of 1, 2, 2.5 or 5 times a power of ten."""
    rough = (high - low) / max(count - 1, 1)
    if not (rough > 0 and math.isfinite(rough)):
        raise ValueError(f"no ticks between {low} and {high}")
    exponent = math.floor(math.log10(rough))
    power = 10.0**exponent
    step = next(s * power for s in _STEPS if s * power >= rough * (1 - 1e-9))
    # the tolerance keeps 0.3 / 0.1 = 2.999... from adding a tick
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12 - min(exponent, 0)) for i in range(first, last + 1)]


def label(value: float, step: float) -> str:
    """A tick's text, with as many decimals as ticks `step` apart need: "0.25", "1,500", "20k", "2e-5"."""
    if value == 0:
        return "0"
    if step >= 1000 and step % 1000 == 0:
        return f"{value / 1000:,.0f}k"
    if step < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    decimals = next((d for d in range(5) if abs(round(step, d) - step) < step * 1e-6), 5)
    return f"{value:,.{decimals}f}"


def labels(values: Sequence[float]) -> list[str]:
    """The texts of evenly spaced tick values."""
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0
    return [label(value, round(step, 12)) for value in values]


def brief(value: float) -> str:
    """A number for a hover text: four significant digits, no needless zeros."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.3g}"
    return f"{float(f'{value:.4g}'):,.10g}"
