"""Casting: how an engine with a few voices of its own plays the speakers of the bank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr

from rba.data import seeds
from rba.data.audio import SAMPLE_RATE
from rba.errors import AudioError
from rba.speech.morph import BIN_HZ, equaliser
from rba.speech.speaker import Speaker, home_split

PEAK = 0.9
SILENT = 1e-4
HELD_OUT = 4  # one stock voice in this many is kept for the test speakers
_LOW = 0.75  # pitch ratio that parts deep voices from high ones
_USUAL_TRACT = {True: 0.87, False: 1.0}  # of deep and of high speakers
_MOST_RESIZED = 1.12


def is_low(speaker: Speaker) -> bool:
    """Whether a speaker has a deep voice, to be played by a stock voice described as male."""
    return speaker.f0 < _LOW


def cast(speaker: Speaker, voices: Sequence[str]) -> str:
    """The stock voice that plays `speaker`: a draw seeded by the speaker's id.

    A quarter of the voices (one at least, of two or more) is heard from test speakers alone, and they are heard from no
    other: a stock voice that was trained on would give an unseen speaker away. A single voice plays everybody.
    """
    order = sorted(voices, key=lambda voice: seeds.derive("stock voice", voice))
    count = max(1, len(order) // HELD_OUT) if len(order) > 1 else 0
    pool = order[:count] if count and home_split(speaker.id) == "test" else order[count:]
    return pool[seeds.derive("cast", speaker.id) % len(pool)]


def size(speaker: Speaker) -> float:
    """How much smaller than usual for its pitch the speaker's head is: a ratio near 1 by which all frequencies move."""
    usual = _USUAL_TRACT[is_low(speaker)]
    return float(np.clip(speaker.tract / usual, 1 / _MOST_RESIZED, _MOST_RESIZED))


def finish(wave: np.ndarray, rate: float, speaker: Speaker, ratio: float = 1.0) -> np.ndarray:
    """A stock voice's `wave` [samples] at `rate` Hz as the speaker's: float32 at 16 kHz, peak at most 0.9.

    It is played `ratio` times as fast, which moves pitch and formants with it, and coloured by the speaker's tilt and
    resonances. Raises AudioError for silence and for samples that are not finite.
    """
    heard = soxr.resample(np.asarray(wave, np.float32), rate * ratio, SAMPLE_RATE) if wave.size else wave
    peak = float(np.abs(heard).max(initial=0.0))
    if not np.isfinite(peak) or peak < SILENT:
        raise AudioError("speech came out silent", speaker.id, "leave the text out or rewrite it in plain English")
    heard = _coloured(heard, speaker)
    return np.asarray(heard * min(1.0, PEAK / float(np.abs(heard).max())), np.float32)


def _coloured(wave: np.ndarray, speaker: Speaker) -> np.ndarray:
    """The wave through the speaker's equaliser, without a change of phase."""
    gain = equaliser(speaker)
    padded = np.fft.rfft(np.asarray(wave, np.float64), wave.size + SAMPLE_RATE // 4)
    hz = np.linspace(0, SAMPLE_RATE / 2, padded.size)
    padded *= np.exp(np.interp(hz, np.arange(gain.size) * BIN_HZ, gain))
    return np.fft.irfft(padded, wave.size + SAMPLE_RATE // 4)[: wave.size]
