"""A reward model's score of an answer to the typed request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rba.rewards.once import once


class AnswerScorer(Protocol):
    """A reward model, such as `rba.lm.reward_model.RewardModel`."""

    def score(self, texts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """One number per response to its text, the higher the better."""
        ...


class ModelScore:
    """The reward s(answer | text) of a reward model, on whatever scale it was trained; the speech is not heard.

    Equal pairs are scored once, so that equal answers have equal rewards to the bit.
    """

    def __init__(self, model: AnswerScorer, name: str = "reward-model"):
        self.model, self.name = model, name

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
        return once(list(zip(prompts, completions)), self._score)

    def _score(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        return list(self.model.score([text for text, _ in pairs], [answer for _, answer in pairs]))
