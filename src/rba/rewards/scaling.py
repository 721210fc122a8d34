"""Scaling of rewards before they are weighted, so that rewards of different scale can be added."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import fmean, pstdev

_NOISE = 1e-6


def z_scores(values: Sequence[float | None], groups: Sequence[Hashable] | None = None) -> list[float | None]:
    """(value - mean) / standard deviation over the values of the same group, or over all without `groups`.

    None stays None and counts for nothing. Values that do not differ have 0, and so have those that differ by less
    than float32 arithmetic does (1e-6 of the largest): it would become the whole difference.
    """
    members: dict[Hashable, list[tuple[int, float]]] = {}
    for i, (value, group) in enumerate(zip(values, groups or [None] * len(values))):
        if value is not None:
            members.setdefault(group, []).append((i, value))
    scaled: list[float | None] = [None] * len(values)
    for pairs in members.values():
        for (i, _), z in zip(pairs, _standardised([value for _, value in pairs])):
            scaled[i] = z
    return scaled


def _standardised(values: Sequence[float]) -> list[float]:
    mean, spread = fmean(values), pstdev(values)
    if spread <= _NOISE * max(map(abs, values)):
        return [0.0] * len(values)
    return [(value - mean) / spread for value in values]
