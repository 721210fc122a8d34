"""Judges: which of two answers to a request is better?

    judge = load_judge("recall")
    judge.prefer("Capital of Australia?", "Canberra.", "Sydney.", "It is Canberra.")      # 1.0

`rba.evaluation.judge_accuracy` measures how often they are right. The judges of this file score each answer by itself,
so that the order of the two cannot sway them; one that reads both may be swayed, so win rates are taken in both orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rba.errors import RecipeError
from rba.evaluation.settings import JUDGES
from rba.rewards.reward import Reward, load_reward

TIE = 1e-6


class Judge(Protocol):
    """What win rates call. `needs_reference` says whether it compares with a reference answer."""

    name: str
    needs_reference: bool

    def prepare(self, texts: Sequence[str], answers: Sequence[str], references: Sequence[str]) -> None:
        """Told all answers beforehand, a judge may score them in one batch."""
        ...

    def prefer(self, text: str, answer_a: str, answer_b: str, reference: str) -> float | None:
        """How surely answer_a is the better one, in [0, 1]; 0.5 is a tie, None if it cannot be said."""
        ...


class ScoreJudge:
    """Prefers the answer with the higher reward: 1 or 0, and 0.5 where they differ by less than 1e-6."""

    def __init__(self, reward: Reward, needs_reference: bool = True):
        self.reward, self.name, self.needs_reference = reward, reward.name, needs_reference
        self._scores: dict[tuple[str, str, str], float | None] = {}

    def prepare(self, texts: Sequence[str], answers: Sequence[str], references: Sequence[str]) -> None:
        """Score the answers that are new, in one batch."""
        keys = dict.fromkeys(map(self._key, texts, answers, references))
        new = [key for key in keys if key not in self._scores]
        if new:
            prompts, completions, wanted = (list(column) for column in zip(*new))
            self._scores |= zip(new, self.reward(prompts, completions, reference=wanted))

    def prefer(self, text: str, answer_a: str, answer_b: str, reference: str) -> float | None:
        """1, 0.5 or 0 by the sign of score(a) - score(b); None where either has no score."""
        self.prepare([text] * 2, [answer_a, answer_b], [reference] * 2)
        a, b = (self._scores[self._key(text, answer, reference)] for answer in (answer_a, answer_b))
        if a is None or b is None:
            return None
        return 0.5 if abs(a - b) < TIE else float(a > b)

    def _key(self, text: str, answer: str, reference: str) -> tuple[str, str, str]:
        return text, answer, reference if self.needs_reference else ""


def load_judge(
    name: str, *, teacher: Any | Callable[[], Any] = None, embedder: Any | Callable[[], Any] = None
) -> Judge:
    """The judge `name`: "recall", "similarity" or "likelihood". `teacher`, `embedder`: themselves or what loads them.

    "recall" is reference-word recall with its length penalty, "similarity" the cosine to the reference, "likelihood"
    the teacher's mean log-prob of the answer, which needs no reference. Raises RecipeError for an unknown name.
    """
    if name not in JUDGES:
        raise RecipeError("unknown judge", name, f"choose from {', '.join(JUDGES)}")
    return ScoreJudge(load_reward(name, teacher=teacher, embedder=embedder), needs_reference=name != "likelihood")
