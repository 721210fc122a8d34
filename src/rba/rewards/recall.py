"""Reference-word recall: how much of what the teacher says does an answer say, and at what length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rba.rewards.words import compared, words

FREE_LENGTH = 1.5


def recall(answer: str, reference: str) -> float | None:
    """Share in [0, 1] of the reference's distinct content words that the answer holds; None for a wordless reference.

    Content words are normalised and stemmed, function words left out where the reference has others.
    """
    said, wanted = compared(answer, reference)
    return len(wanted & said) / len(wanted) if wanted else None


def f1(answer: str, reference: str) -> float | None:
    """Harmonic mean of `recall` and its mirror image, the share of the answer's content words that the reference holds.

    In [0, 1]; None for a wordless reference. Unlike recall it gains nothing from saying more.
    """
    said, wanted = compared(answer, reference)
    return 2 * len(wanted & said) / (len(wanted) + len(said)) if wanted else None


def length_penalty(answer: str, reference: str, free: float = FREE_LENGTH) -> float:
    """The factor in (0, 1] that keeps recall from being bought with length.

    With n words in the answer and r in the reference: 1 while n <= free * r, then exp(1 - n / (free * r)), the mirror
    image of BLEU's brevity penalty (Papineni et al. 2002).
    """
    allowed = free * max(len(words(reference)), 1)
    return math.exp(min(0.0, 1 - len(words(answer)) / allowed))


class Recall:
    """The reward recall(answer, reference) * length_penalty(answer, reference), in [0, 1]."""

    def __init__(self, free: float = FREE_LENGTH, name: str = "recall"):
        self.free, self.name = free, name

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str],
        **columns: Any,
    ) -> list[float | None]:
        """One value per completion; None where the reference has no words."""
        return [self._one(answer, wanted) for answer, wanted in zip(completions, reference)]

    def _one(self, answer: str, wanted: str) -> float | None:
        share = recall(answer, wanted)
        return None if share is None else share * length_penalty(answer, wanted, self.free)
