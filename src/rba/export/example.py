"""What is exported: an utterance with its samples and, if asked, a preference pair."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soundfile

from rba.data import audio
from rba.data.utterance import Utterance
from rba.lm.preamble import asked, turns
from rba.lm.task import preamble_of

PairKind = Literal["group", "single"]


@dataclass(frozen=True)
class Pair:
    """Two answers to one instruction, `chosen` the better; rewards are None where they were not compared by any.

    `source` is the method whose self-samples these are, or "shared" where all methods share them; `round` is theirs.
    """

    chosen: str
    rejected: str
    chosen_reward: float | None
    rejected_reward: float | None
    source: str
    round: int


@dataclass(frozen=True)
class Example:
    """One row of an export: `pcm` is int16 [samples] at 16 kHz; `id` is the utterance's, with a pair's number after.

    `task` is the run's prompt (`rba.lm.task`), "" where nothing is told.
    """

    id: str
    utterance: Utterance
    pcm: np.ndarray
    pair: Pair | None = None
    task: str = ""

    def asked(self, place: str) -> list[dict[str, str]]:
        """The messages of the request: the run's task, and `place` for the audio."""
        told = preamble_of(self.task)
        return [*turns(told), asked(told, place)]

    @property
    def answer(self) -> str:
        """What a model is to say: the chosen answer of a pair, else the teacher's."""
        return self.pair.chosen if self.pair else self.utterance.response

    @property
    def duration(self) -> float:
        """Seconds of audio, to the sample."""
        return len(self.pcm) / audio.SAMPLE_RATE

    def wav(self) -> bytes:
        """A WAV file (16 kHz, mono, 16 bit) of the very samples that the run's FLAC holds."""
        buffer = io.BytesIO()
        soundfile.write(buffer, self.pcm, audio.SAMPLE_RATE, format="WAV", subtype="PCM_16")
        return buffer.getvalue()


def decode_pcm(utterance: Utterance) -> np.ndarray:
    """The samples of an utterance as int16 [samples]. Raises AudioError for a clip that cannot be used."""
    wave = audio.decode(utterance.audio, f"utterance {utterance.id}")
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)
