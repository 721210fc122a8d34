"""What is logged about rewards: mean, spread, and whether they pay for length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev


def length_correlation(rewards: Sequence[float | None], lengths: Sequence[int]) -> float | None:
    """Pearson correlation of rewards with answer lengths over the scored answers; None if either does not vary.

    Watch it in training: near 1, the reward pays for length.
    """
    pairs = [(r, n) for r, n in zip(rewards, lengths) if r is not None]
    if not pairs or any(min(values) == max(values) for values in zip(*pairs)):
        return None  # sums of equal numbers are rounded, and would seem to vary
    n = len(pairs)
    mean_r, mean_n = sum(r for r, _ in pairs) / n, sum(n for _, n in pairs) / n
    cross = sum((r - mean_r) * (k - mean_n) for r, k in pairs)
    spread = sum((r - mean_r) ** 2 for r, _ in pairs) * sum((k - mean_n) ** 2 for _, k in pairs)
    return cross / math.sqrt(spread) if spread > 0 else None


def summarise(parts: Mapping[str, Sequence[float | None]], lengths: Sequence[int]) -> dict[str, float]:
    """`rewards/NAME/mean`, `/std` and `/length_correlation` of each part over the answers that it could score."""
    found: dict[str, float] = {}
    for name, values in parts.items():
        scored = [v for v in values if v is not None]
        if scored:
            found |= {f"rewards/{name}/mean": fmean(scored), f"rewards/{name}/std": pstdev(scored)}
        related = length_correlation(values, lengths)
        if related is not None:
            found[f"rewards/{name}/length_correlation"] = related
    return found
