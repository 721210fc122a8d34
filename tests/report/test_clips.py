"""Clips: small, the same bytes every time, and still the same sound."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from rba.report import clips


def tone(seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(16_000 * seconds)) / 16_000
    return (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)


def test_opus_is_small_and_sounds_the_same() -> None:
    clip = clips.opus(tone())
    wave, rate = soundfile.read(io.BytesIO(clip))
    assert rate == 16_000 and len(clip) < 8_000
    assert abs(len(wave) - 16_000) < 400
    spectrum = np.abs(np.fft.rfft(wave[:16_000]))
    assert abs(int(spectrum.argmax()) - 220) <= 2


def test_the_same_wave_gives_the_same_bytes() -> None:
    assert clips.opus(tone(0.3)) == clips.opus(tone(0.3))


def test_pinning_is_idempotent_and_leaves_other_bytes_alone() -> None:
    clip = clips.opus(tone(0.2))
    assert clips.pinned(clip) == clip
    assert clips.pinned(b"no ogg here") == b"no ogg here"


def test_peaks_follow_the_loudness() -> None:
    wave = np.concatenate([np.zeros(8_000, np.float32), tone(0.5)])
    outline = clips.peaks(wave, bars=10)
    assert outline[:5] == "00000" and set(outline[5:]) <= {"8", "9"}
    assert clips.peaks(np.zeros(100, np.float32), bars=4) == "0000"
