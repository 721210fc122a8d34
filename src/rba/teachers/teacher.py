"""What every teacher can do. A teacher only ever sees text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rba.lm.preamble import System
from rba.lm.sampling import Sampling

_NEXT_TURN = re.compile(r"(?:^|\n)\W*(?:assistant|user|system|human|model)\W*(?:\n|:|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """What a teacher wrote, and whether it `finished` by itself rather than being cut at the longest length."""

    text: str
    finished: bool = True


def as_request(text: str, finished: bool) -> Reply:
    """A request as it was written, up to where it begins another turn's header; one with a header is finished."""
    header = _NEXT_TURN.search(text)
    return Reply((text[: header.start()] if header else text).strip(), finished or header is not None)


class Teacher(Protocol):
    """A text LLM behind four calls; each batches as it likes, and each text depends on its own seed.

    `system` is the turn (or the preamble, with examples) under which it answers, and under which answers are likely or
    not to it; "" for the template's own. Requests have one of their own, the domain.
    """

    name: str
    system: System

    def told(self, system: System) -> Teacher:
        """The same teacher, its model not loaded again, answering under another turn."""
        ...

    def sample_queries(
        self, seeds: Sequence[int], system: System, sampling: Sampling, openers: Sequence[str] | None = None
    ) -> list[Reply]:
        """One request per seed, written from the pre-query template alone (section 2 of the RBA specification).

        `openers` holds first words per seed ("" for none); a request contains its own.
        """
        ...

    def replies(self, texts: Sequence[str], sampling: Sampling, seeds: Sequence[int]) -> list[Reply]:
        """One answer per request."""
        ...

    def answer(self, texts: Sequence[str], sampling: Sampling, seeds: Sequence[int]) -> list[str]:
        """The texts of `replies`."""
        return [reply.text for reply in self.replies(texts, sampling, seeds)]

    def log_likelihood(self, texts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, int]]:
        """Summed log-prob (nats) and number of tokens of each response to its text, the end of turn included."""
        ...
