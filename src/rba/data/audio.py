"""Audio at the boundary: decode anything to checked 16 kHz mono, encode to FLAC bytes that never change."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from rba.errors import AudioError

SAMPLE_RATE = 16_000
MAX_SECONDS = 30.0
MIN_SECONDS = 0.1
UNKNOWN_FRAMES = 2**60
LOUDEST = 8.0
"""No float waveform has samples beyond this but one in the numbers of int16; resampling overshoots 1 by a little."""


def check(wave: np.ndarray, where: str = "audio", max_seconds: float = MAX_SECONDS) -> np.ndarray:
    """Return `wave` if it is a finite 16 kHz mono clip of at most `max_seconds`; raise AudioError if not."""
    if wave.ndim != 1:
        raise AudioError(f"audio has shape {wave.shape}, expected one channel", where, "mix it down to mono")
    if wave.size < MIN_SECONDS * SAMPLE_RATE:
        fix = f"give at least {MIN_SECONDS} s"
        raise AudioError(f"audio is empty or too short ({wave.size / SAMPLE_RATE:.2f} s)", where, fix)
    _check_length(wave.size / SAMPLE_RATE, where, max_seconds)
    if not np.isfinite(wave).all():
        raise AudioError("audio holds NaN or infinite samples", where, "export the clip again")
    return wave


def _check_length(seconds: float, where: str, max_seconds: float) -> None:
    if seconds > max_seconds:
        fix = "cut it into shorter clips"
        raise AudioError(f"audio lasts {seconds:.1f} s, the limit is {max_seconds:g} s", where, fix)


def as_wave(samples: Any, where: str = "audio") -> np.ndarray:
    """A waveform that came as an array, list or tensor, as float32 in about [-1, 1]; int16 and int32 are scaled to it.

    Raises AudioError for what is none, is not on the CPU, or is of a scale that cannot be known.
    """
    fix = "give numbers in [-1, 1], or int16 or int32"
    try:
        wave = np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AudioError(f"this is no waveform: {error}", where, fix) from error
    if wave.dtype in (np.int16, np.int32):
        return (wave / (np.iinfo(wave.dtype).max + 1)).astype(np.float32)
    if wave.dtype.kind != "f":
        raise AudioError(f"a waveform of the type {wave.dtype} has no known scale", where, fix)
    if LOUDEST < (peak := float(np.abs(wave).max(initial=0))) < np.inf:
        raise AudioError(f"audio has samples as large as {peak:.6g}", where, fix)
    return wave.astype(np.float32, copy=False)


def decode(source: bytes | str | Path, where: str = "", max_seconds: float = MAX_SECONDS) -> np.ndarray:
    """Decode bytes or a file to float32 mono at 16 kHz, shape [samples], mixing channels and resampling as needed.

    Raises AudioError for a missing or corrupt file and for clips that `check` refuses.
    """
    where = where or (str(source) if not isinstance(source, bytes) else "audio bytes")
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise AudioError("no such audio file", where, "check the path")
    try:
        # a name as the disk has it: it need not be UTF-8
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else os.fsencode(source)) as stream:
            rate = stream.samplerate
            # hours of audio are refused by their header; a streamed file's header does not know, so the reading stops
            if stream.frames < UNKNOWN_FRAMES:
                _check_length(stream.frames / rate, where, max_seconds)
            wave = stream.read(int((max_seconds + 1) * rate), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError) as error:
        raise AudioError("audio cannot be decoded", where, "give WAV, FLAC, OGG or MP3") from error
    mono = wave.mean(axis=1)
    if rate != SAMPLE_RATE and mono.size:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return check(np.ascontiguousarray(mono, dtype=np.float32), where, max_seconds)


def wav(samples: np.ndarray, rate: float) -> bytes:
    """WAV bytes (float32) of samples [n] or [n, channels] at any rate, for `decode` to read.

    Raises AudioError for a shape or a rate that no file has.
    """
    buffer = io.BytesIO()
    try:
        if samples.ndim not in (1, 2) or not 1 <= rate < 2**31:
            raise ValueError
        soundfile.write(buffer, samples, int(rate), format="WAV", subtype="FLOAT")
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        what = f"samples of shape {samples.shape} at rate {rate} are no audio"
        raise AudioError(what, "audio", "give [n] or [n, channels], and a rate in Hz") from error
    return buffer.getvalue()


def encode(wave: np.ndarray) -> bytes:
    """FLAC bytes (16 kHz, mono, 16 bit) of a float waveform in [-1, 1]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(wave, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
