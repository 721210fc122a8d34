"""How a local teacher's work is cut into batches: by the tokenizer alone, so that any process cuts it alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rba.lm import chat
from rba.lm.generation import by_length
from rba.lm.preamble import System

SCORE_BATCH = 32


@dataclass(frozen=True)
class Batches:
    """Batches of indices, at most `size` in each for what is written; answers come under the turn `system`.

    A batch that is cut again, as a whole and in its order, comes out as it is.
    """

    tokenizer: Any
    system: System
    size: int

    def queries(self, seeds: Sequence[int], openers: Sequence[str] | None) -> list[list[int]]:
        """Requests by their first words."""
        first = self.first_ids(openers, len(seeds))
        return _cut(sorted(range(len(seeds)), key=lambda i: (first[i], seeds[i])), self.size)

    def replies(self, texts: Sequence[str], seeds: Sequence[int]) -> list[list[int]]:
        """Answers by the lengths of their prompts."""
        return by_length([len(prompt) for prompt in self.prompts(texts)], seeds, self.size)

    def scores(self, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> list[list[int]]:
        """Answers to be scored, given as token ids, by their lengths with their prompts."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(answers[i]))
        return _cut(order, SCORE_BATCH)

    def answers(self, responses: Sequence[str], end_id: int) -> list[list[int]]:
        """Token ids of responses followed by the end of turn."""
        return [chat.response_ids(self.tokenizer, text, end_id) for text in responses]

    def first_ids(self, openers: Sequence[str] | None, count: int) -> list[list[int]]:
        """Token ids of the first words of `count` requests."""
        return [self._ids(opener) for opener in openers or [""] * count]

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of requests in their chat frame."""
        return [chat.prompt_ids(self.tokenizer, text, self.system) for text in texts]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def _cut(order: Sequence[int], size: int) -> list[list[int]]:
    return [list(order[start : start + size]) for start in range(0, len(order), size)]
