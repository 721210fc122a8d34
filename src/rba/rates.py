"""The learning-rate schedule that connector training and alignment share."""

from __future__ import annotations

import math


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """The share of the peak in (0, 1] at update `step` (from 0): a linear rise, then a half cosine to 1 %."""
    start = max(1, round(total * warmup))
    if step < start:
        return (step + 1) / start
    done = min(1.0, (step - start) / max(1, total - start))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
