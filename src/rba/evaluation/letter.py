"""A judge that reads both answers and is asked for no reply: which letter would the LLM begin with?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rba.evaluation.reading import QUESTION, ReadingJudge
from rba.evaluation.verdicts import Pair, Verdict

TIE = 1e-6


class LetterJudge(ReadingJudge):
    """log p("A") - log p("B") as the LLM's reply, in one order less in the other.

    A small model that never writes a letter can be asked so, and its liking for a letter cancels. It needs log-probs of
    given replies: a local LLM, or a server that returns those of the prompt.
    """

    name = "letter"
    prompt = QUESTION + " Reply with A or B and nothing else."

    def pair(self, text: str, answer_a: str, answer_b: str) -> Pair:
        """The same whichever answer comes first: both orders are asked about together."""
        return text, min(answer_a, answer_b), max(answer_a, answer_b)

    def read(self, judge: Any, pairs: Sequence[Pair]) -> list[Verdict]:
        """By how many nats the first answer is preferred to the second."""
        told = [(self.task.written(text), a, b) for text, a, b in pairs]
        asked = [self.prompt.format(text=text, a=a, b=b) for text, a, b in told]
        asked += [self.prompt.format(text=text, a=b, b=a) for text, a, b in told]
        # both letters of a question together: a local LLM reads it once
        logp = [p for p, _ in judge.log_likelihood([q for q in asked for _ in "AB"], ["A", "B"] * len(asked))]
        margins = [a - b for a, b in zip(logp[::2], logp[1::2])]
        return [(one - other) / 2 for one, other in zip(margins, margins[len(pairs) :])]

    def prefer(self, text: str, answer_a: str, answer_b: str, reference: str) -> float:
        """1 or 0 by the sign of the margin in nats, 0.5 where it is below 1e-6."""
        margin = self.said(text, answer_a, answer_b)
        assert margin is not None, "log-probs are numbers"
        if abs(margin) < TIE:
            return 0.5
        return float((margin > 0) == (answer_a <= answer_b))
