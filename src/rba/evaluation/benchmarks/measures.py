"""Measures: figures made from sums over items, so that one bootstrap serves means, error rates and BLEU alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Measure:
    """`sums` [M, K] of M answers, and how their weighted totals [S, K] become a figure [S].

    `count` is the number of answers that add to it; `better` is +1 where more is better, -1 where less is, 0 where
    neither.
    """

    sums: np.ndarray
    finish: Callable[[np.ndarray], np.ndarray]
    count: int
    better: int = 1

    def statistic(self, weights_SM: np.ndarray) -> np.ndarray:
        """The figure [S] under every row of weights."""
        return self.finish(weights_SM @ self.sums)


def _ratio(totals_SK: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return totals_SK[:, 0] / totals_SK[:, 1]


def mean(values: Sequence[float | bool | None], better: int = 1) -> Measure:
    """The mean of the values that there are."""
    rows = [(0.0, 0.0) if value is None else (float(value), 1.0) for value in values]
    return Measure(np.array(rows).reshape(-1, 2), _ratio, sum(value is not None for value in values), better)


def rate(parts: Sequence[float], wholes: Sequence[float], better: int = -1) -> Measure:
    """The ratio of two sums, such as word errors over words."""
    sums = np.array([parts, wholes], dtype=float).T.reshape(-1, 2)
    return Measure(sums, _ratio, int((sums[:, 1] > 0).sum()), better)


def corpus(metric: Any, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Measure:
    """A corpus score of sacrebleu in [0, 1]: BLEU or chrF, whose statistics add up over sentences."""
    sums = np.array(
        [metric._extract_corpus_statistics([a], [[r] for r in rs])[0] for a, rs in zip(answers, references)],
        dtype=float,
    )

    def finish(totals_SK: np.ndarray) -> np.ndarray:
        exact = np.rint(totals_SK).astype(int).tolist()
        return np.array([metric._compute_score_from_stats(row).score / 100 for row in exact])

    return Measure(sums, finish, len(sums))
