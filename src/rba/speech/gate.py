"""The intelligibility gate: a recogniser must understand an utterance, or it is rendered anew with the next seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rba.speech.recogniser import Recogniser
from rba.speech.word_errors import wer

UNINTELLIGIBLE = "not intelligible after all retries"


@dataclass(frozen=True)
class Gate:
    """Lets an utterance pass if the listener's word error rate is at most `limit`; else asks again, `retries` times."""

    listener: Recogniser
    limit: float
    retries: int

    def admit(self, text: str, render: Callable[[int], np.ndarray]) -> tuple[int, np.ndarray, float] | None:
        """The first attempt that passes as (attempt, wave, word error rate), or None if none does.

        `render(attempt)` gives the wave of attempt 0, 1, ...
        """
        for attempt in range(self.retries + 1):
            wave = render(attempt)
            error = wer(text, self.listener.transcribe([wave])[0])
            if error <= self.limit:
                return attempt, wave, error
        return None
