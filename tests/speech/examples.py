"""Instructions that take no time to say."""

from __future__ import annotations

import numpy as np

from rba.data import audio
from rba.data.instruction import Instruction, instruction_id

TEXTS = ("Name a fruit.", "Why is it cold?", "Play some jazz.", "Tell me a joke.")


def instructions(*texts: str, split: str = "train") -> list[Instruction]:
    """Instructions with these texts."""
    return [Instruction(instruction_id(text), text, "An answer.", "life", "easy", split) for text in texts]


class Mimic:
    """An engine that clones voices: the reference clip itself, as long as the text has letters."""

    name = "mimic"
    clones = True

    def __init__(self, threads: int = 1):
        self.threads = threads

    def say(self, text, speaker, seed):
        """The first tenths of a second of the reference."""
        return audio.decode(speaker.reference)[: 1600 * len(text)]


class Beeper:
    """An engine of a user's own: a beep for every letter."""

    name = "beeper"

    def __init__(self, threads: int = 1):
        self.threads = threads

    def say(self, text, speaker, seed):
        """Beeps at the speaker's pitch."""
        time = np.arange(1600 * len(text)) / 16_000
        return (0.5 * np.sin(2 * np.pi * 200 * speaker.f0 * time)).astype(np.float32)
