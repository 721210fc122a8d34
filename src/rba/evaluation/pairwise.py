"""A judge that reads both answers: an LLM, local or served, says which one is better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rba.evaluation.reading import QUESTION, ReadingJudge
from rba.evaluation.verdicts import Pair, Verdict
from rba.lm.sampling import Sampling

_SAID = re.compile(r"\W*(?:answer[ _]?)?(A|B|TIE)\W*", re.IGNORECASE)
_VALUES = {"A": 1.0, "B": 0.0, "TIE": 0.5}


def read_choice(reply: str) -> float | None:
    """1 for A, 0 for B, 0.5 for a tie; None for any other reply."""
    said = _SAID.fullmatch(reply)
    return _VALUES[said[1].upper()] if said else None


class PairJudge(ReadingJudge):
    """What the LLM writes, greedily.

    It may favour a place; `preferences` asks in both orders, so that this cancels.
    """

    name = "pairwise"
    prompt = QUESTION + " Reply with A, B or TIE and nothing else."

    def read(self, judge: Any, pairs: Sequence[Pair]) -> list[Verdict]:
        """1 for the first answer, 0 for the second, 0.5 for a tie; None for a reply that says neither."""
        asked = [self.prompt.format(text=self.task.written(text), a=a, b=b) for text, a, b in pairs]
        replies = judge.answer(asked, Sampling(temperature=0.0, max_new_tokens=8), [0] * len(asked))
        return [read_choice(reply) for reply in replies]

    def prefer(self, text: str, answer_a: str, answer_b: str, reference: str) -> float | None:
        """1, 0.5 or 0 as the judge says; None for a reply that says neither."""
        return self.said(text, answer_a, answer_b)
