"""Question answering with known answers: is one of them what was said, or part of it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rba.rewards.tokens import answer_tokens

Accepted = str | Sequence[str]


def alternatives(text: str) -> list[str]:
    """The answers that a text parts with "|"."""
    return [part.strip() for part in text.split("|")]


def accepted(reference: Accepted) -> list[list[str]]:
    """The tokens of each accepted answer: those of a list, or of a text split at "|"; wordless ones are left out."""
    texts = alternatives(reference) if isinstance(reference, str) else reference
    return [found for text in texts if (found := answer_tokens(text))]


def is_exact(answer: str, reference: Accepted) -> bool | None:
    """Whether the answer is one of the accepted ones, once both are normalised; None if none is given."""
    wanted = accepted(reference)
    return answer_tokens(answer) in wanted if wanted else None


def is_contained(answer: str, reference: Accepted) -> bool | None:
    """Whether the answer holds the words of an accepted one in a row; None if none is given."""
    wanted, said = accepted(reference), answer_tokens(answer)
    if not wanted:
        return None
    return any(said[i : i + len(words)] == words for words in wanted for i in range(len(said) - len(words) + 1))


class ExactMatch:
    """1 for an answer that is an accepted one, else 0. References: one a completion, as `accepted` takes them."""

    name = "exact-match"

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[Accepted],
        **columns: Any,
    ) -> list[float | None]:
        """One value in {0, 1} per completion; None where no answer is accepted."""
        return [_number(is_exact(answer, wanted)) for answer, wanted in zip(completions, reference)]


class Contains:
    """1 for an answer that holds an accepted one, else 0."""

    name = "contains"

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[Accepted],
        **columns: Any,
    ) -> list[float | None]:
        """One value in {0, 1} per completion; None where no answer is accepted."""
        return [_number(is_contained(answer, wanted)) for answer, wanted in zip(completions, reference)]


def _number(value: bool | None) -> float | None:
    return None if value is None else float(value)
