"""A judge that reads both answers and is asked for no reply: which letter would the LLM begin with?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rba.evaluation.pairwise import BATCH, QUESTION
from rba.lm.task import NO_TASK, TaskSettings
from rba.progress import batches

PROMPT = QUESTION + " Reply with A or B and nothing else."
TIE = 1e-6

_Pair = tuple[str, str, str]


class LetterJudge:
    """log p("A") - log p("B") as the LLM's reply, in one order less in the other, with the `task` above the request.

    A small model that never writes a letter can be asked so, and its liking for a letter cancels. It needs log-probs of
    given replies: a local LLM, or a server that returns those of the prompt.
    """

    name = "letter"
    needs_reference = False

    def __init__(self, judge: Any | Callable[[], Any], task: TaskSettings = NO_TASK):
        self._judge: Any = judge
        self.task = task
        self._margin: dict[_Pair, float] = {}

    def prepare(
        self, texts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str], references: Sequence[str]
    ) -> None:
        """Score the pairs that are new in both orders."""
        wanted: list[_Pair] = [(text, min(a, b), max(a, b)) for text, a, b in zip(texts, answers_a, answers_b)]
        new = [pair for pair in dict.fromkeys(wanted) if pair not in self._margin]
        if new and callable(self._judge):
            self._judge = self._judge()
        for part in batches(f"reading two answers ({self.name})", new, BATCH):
            self._margin |= zip(part, self._margins(part))

    def _margins(self, pairs: Sequence[_Pair]) -> list[float]:
        told = [(self.task.written(text), a, b) for text, a, b in pairs]
        asked = [PROMPT.format(text=text, a=a, b=b) for text, a, b in told]
        asked += [PROMPT.format(text=text, a=b, b=a) for text, a, b in told]
        # both letters of a question together: a local LLM reads it once
        logp = [p for p, _ in self._judge.log_likelihood([q for q in asked for _ in "AB"], ["A", "B"] * len(asked))]
        margins = [a - b for a, b in zip(logp[::2], logp[1::2])]
        return [(one - other) / 2 for one, other in zip(margins, margins[len(pairs) :])]

    def prefer(self, text: str, answer_a: str, answer_b: str, reference: str) -> float:
        """1 or 0 by the sign of the margin in nats, 0.5 where it is below 1e-6."""
        self.prepare([text], [answer_a], [answer_b], [reference])
        first, second = sorted((answer_a, answer_b))
        margin = self._margin[text, first, second] * (1 if first == answer_a else -1)
        return 0.5 if abs(margin) < TIE else float(margin > 0)
