"""Test instructions by what they ask: the rows of each topic and each difficulty that synthesis has found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from rba.data.utterance import Utterance
from rba.evaluation.contests import quick_win_rates
from rba.evaluation.disturbances import LEAST, reportable
from rba.evaluation.metrics import Sheet, agreement_rows
from rba.evaluation.results import Result
from rba.evaluation.settings import EvaluateSettings


def topics(utterances: Sequence[Utterance]) -> dict[str, np.ndarray]:
    """The utterances (bool [M]) of each "topic:<topic>" and "difficulty:<difficulty>".

    Of those that hold 8 instructions, and not all cells; an untagged utterance is in none.
    """
    found: dict[str, np.ndarray] = {}
    for kind in ("topic", "difficulty"):
        tags_M = np.array([getattr(u, kind) for u in utterances])
        found |= {f"{kind}:{tag}": tags_M == tag for tag in np.unique(tags_M).tolist() if tag}
    return reportable(utterances, found)


def topic_rows(sheet: Sheet, settings: EvaluateSettings, embedder: Any) -> Iterator[Result]:
    """Agreement with the teacher and win rates within each; figures of fewer than 8 instructions are left out."""
    members = topics(sheet.cells.utterances)
    made = chain(agreement_rows(sheet, members), quick_win_rates(sheet, settings, embedder, members))
    return (row for row in made if row.n >= LEAST)
