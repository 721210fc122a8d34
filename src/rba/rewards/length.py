"""The length penalty: how far does an answer run past its budget?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rba.rewards.tokens import tokens

BUDGET = 1.5


def overrun(answer: str, reference: str, budget: float = BUDGET) -> float | None:
    """0 up to `budget` times the reference's words, then 1 - exp(1 - words / allowed), in [0, 1); None without words.

    It is what BLEU's brevity penalty (Papineni et al. 2002) takes off, mirrored to the long side.
    """
    allowed = budget * len(tokens(reference))
    return 1 - math.exp(min(0.0, 1 - len(tokens(answer)) / allowed)) if allowed else None


class Length:
    """The overrun of an answer beside the teacher's: a penalty, to be given a negative weight."""

    def __init__(self, budget: float = BUDGET, name: str = "length"):
        self.budget, self.name = budget, name

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str],
        **columns: Any,
    ) -> list[float | None]:
        """One value in [0, 1) per completion; None where the reference has no words."""
        return [overrun(answer, wanted, self.budget) for answer, wanted in zip(completions, reference)]
