"""Paired bootstrap over instructions: one set of resamples for every statistic, so that differences are paired.

The instruction is the unit that is drawn; the answers to its voices stay together (a cluster bootstrap), because voices
of one request are no independent evidence. Percentile intervals (Efron and Tibshirani 1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rba.data.seeds import rng

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A point estimate and its 95 % interval; None where it cannot be estimated."""

    value: float | None
    low: float | None
    high: float | None


class Bootstrap:
    """Resampling weights [1 + R, N] of N instructions: row 0 is the sample itself, the others are resamples.

    Statistics are arrays [1 + R], so a difference or ratio of two is a statistic too, and is paired.
    """

    def __init__(self, n: int, resamples: int = 2000, seed: int = 0):
        draws = rng(seed, "bootstrap").multinomial(n, np.full(n, 1 / n), size=resamples)
        self.weights_SN = np.concatenate([np.ones((1, n)), draws])

    def ratio(self, total_N: np.ndarray, count_N: np.ndarray) -> np.ndarray:
        """sum(total) / sum(count) in every resample [1 + R]; NaN where a resample has no count."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.weights_SN @ total_N) / (self.weights_SN @ count_N)

    def mean(self, values_M: np.ndarray, owner_M: np.ndarray | None = None) -> np.ndarray:
        """Mean of the finite values [M] in every resample [1 + R]; `owner_M`: whose each is (None: one each)."""
        there = np.isfinite(values_M)
        if owner_M is None:
            return self.ratio(np.where(there, values_M, 0), there)
        return self.ratio(self.total(np.where(there, values_M, 0), owner_M), self.total(there, owner_M))

    def total(self, values_M: np.ndarray, owner_M: np.ndarray) -> np.ndarray:
        """Sums [N] of values [M] by the instruction that owns each."""
        return np.bincount(owner_M, weights=values_M, minlength=self.weights_SN.shape[1])


def interval(statistic_S: np.ndarray, n: int, level: float = LEVEL) -> Interval:
    """The percentile interval of a statistic [1 + R] of `n` instructions.

    No bounds where there is one instruction alone, or where over a tenth of the resamples are undefined.
    """
    value, draws = statistic_S[0], statistic_S[1:]
    if not np.isfinite(value):
        return Interval(None, None, None)
    finite = draws[np.isfinite(draws)]
    if n < 2 or finite.size < 0.9 * draws.size:
        return Interval(float(value), None, None)
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))
