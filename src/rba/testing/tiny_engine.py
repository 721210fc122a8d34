"""A speech engine that speaks chords, for recipes: `rba.testing.tiny_engine:TinyEngine`."""

from __future__ import annotations

import numpy as np

from rba.data import seeds
from rba.speech.speaker import Speaker
from rba.testing.tiny_utterances import tiny_wave

NAME = "rba.testing.tiny_engine:TinyEngine"


class TinyEngine:
    """Says every text in 0.6 s."""

    name, clones = NAME, False

    def __init__(self, threads: int = 1):
        """It has nothing to load."""

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """A chord [samples] at 16 kHz of this text, speaker and seed."""
        return tiny_wave(seeds.derive(text, speaker.id, seed) % 2**31, 0.6)
