"""The repetition penalty: how much of an answer has it said before?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rba.rewards.tokens import tokens

ORDER = 3


def repetition(answer: str, order: int = ORDER) -> float:
    """Share in [0, 1) of the word n-grams of an answer that it has used before; 0 for fewer than two n-grams."""
    words = tokens(answer)
    grams = [tuple(words[i : i + order]) for i in range(len(words) - order + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


class Repetition:
    """The share of repeated trigrams: a penalty, to be given a negative weight."""

    def __init__(self, order: int = ORDER, name: str = "repetition"):
        self.order, self.name = order, name

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One value per completion; references are not looked at."""
        return [repetition(answer, self.order) for answer in completions]
