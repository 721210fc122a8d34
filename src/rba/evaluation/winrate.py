"""Win rates: how often a judge prefers a model's answer to its opponent's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rba.evaluation.judge import Judge


def preferences(
    judge: Judge, texts: Sequence[str], answers: Sequence[str], opponents: Sequence[str], references: Sequence[str]
) -> np.ndarray:
    """The judge's preference [M] in [0, 1] for each answer over its opponent's, the mean of both orders; ties are 0.5.

    NaN where the judge cannot say. Equal answers tie without being shown to the judge; where it can say of none of the
    others, they are NaN, too: ties alone would be a rate that nobody has judged.
    """
    rows = list(zip(texts, answers, opponents, references))
    judged = [row for row in rows if not _equal(row[1], row[2])]
    if judged:
        asked, one, other, wanted = zip(*judged)
        judge.prepare([*asked, *asked], [*one, *other], [*other, *one], [*wanted, *wanted])
    found = np.array([_both_orders(judge, *row) for row in rows], dtype=float)
    silent = bool(judged) and np.isnan(found).sum() == len(judged)
    return np.full(len(rows), np.nan) if silent else found


def _equal(answer: str, opponent: str) -> bool:
    return answer.strip() == opponent.strip()


def _both_orders(judge: Judge, text: str, answer: str, opponent: str, reference: str) -> float:
    if _equal(answer, opponent):
        return 0.5
    first = judge.prefer(text, answer, opponent, reference)
    second = judge.prefer(text, opponent, answer, reference)
    return float("nan") if first is None or second is None else (first + 1 - second) / 2
