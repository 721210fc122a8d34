"""Teacher likelihood: how likely the teacher finds an answer to the typed request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

REDUCTIONS = ("mean", "sum")


class Scorer(Protocol):
    """The part of a teacher that scores given answers."""

    def log_likelihood(self, texts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, int]]:
        """The summed log-prob and the number of tokens of each response to its text."""
        ...


class Likelihood:
    """The reward log p(answer | text) under the teacher, in nats per token ("mean") or per answer ("sum").

    The teacher reads the typed request, never the speech. A student aligned to this very teacher is judged by its own
    aim, so an independent score belongs beside it. The sum favours short answers, the mean fluent, empty and repetitive
    ones (`rba.evaluation.judge` has figures).
    """

    def __init__(self, teacher: Scorer, reduction: str = "mean", name: str = "likelihood"):
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, not {reduction!r}")
        self.teacher, self.reduction, self.name = teacher, reduction, name

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One value <= 0 per completion; None for an answer of no tokens."""
        spoken = [i for i, text in enumerate(completions) if text.strip()]
        values: list[float | None] = [None] * len(completions)
        if not spoken:
            return values
        scored = self.teacher.log_likelihood([prompts[i] for i in spoken], [completions[i] for i in spoken])
        for i, (total, tokens) in zip(spoken, scored):
            if tokens:
                values[i] = total / tokens if self.reduction == "mean" else total
        return values
