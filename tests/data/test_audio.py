"""Audio at the boundary: any sane recording becomes checked 16 kHz mono; anything else is one clear line."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import soundfile
import torch

from rba.data import audio
from rba.errors import AudioError


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """A 440 Hz sine at half scale, [samples] or [samples, channels]."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate).astype(np.float32)
    return wave if channels == 1 else np.stack([wave] * channels, 1)


def as_bytes(wave: np.ndarray, rate: int = 16_000, form: str = "WAV", subtype: str | None = None) -> bytes:
    """An audio file in memory."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def test_encode_then_decode_gives_the_wave_back_to_16_bits():
    wave = tone(0.5)
    assert np.abs(audio.decode(audio.encode(wave)) - wave).max() <= 1 / 32768


def test_encoding_is_deterministic_and_clips_what_is_too_loud():
    assert audio.encode(tone(0.2)) == audio.encode(tone(0.2))
    assert audio.decode(audio.encode(tone(0.2) * 4)).max() <= 1


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(rate):
    wave = audio.decode(as_bytes(tone(1.0, rate), rate))
    assert wave.dtype == np.float32 and abs(len(wave) - 16_000) <= 1
    spectrum = np.abs(np.fft.rfft(wave))
    assert abs(np.argmax(spectrum) * 16_000 / len(wave) - 440) < 2


def test_stereo_is_mixed_down():
    assert audio.decode(as_bytes(tone(0.5, channels=2))).shape == (8_000,)


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3"])
def test_common_containers_are_read(form):
    assert abs(len(audio.decode(as_bytes(tone(0.5), form=form))) - 8_000) < 3_000


def test_files_are_read_by_path(tmp_path):
    (tmp_path / "a.wav").write_bytes(as_bytes(tone(0.5)))
    assert len(audio.decode(tmp_path / "a.wav")) == len(audio.decode(str(tmp_path / "a.wav"))) == 8_000


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "cannot be decoded"),
        (b"this is not audio" * 100, "cannot be decoded"),
        (as_bytes(tone(1.0))[:30], "cannot be decoded"),
        (as_bytes(tone(1.0), form="FLAC")[:200], "cannot be decoded"),
        (as_bytes(np.zeros(0, np.float32)), "empty or too short"),
        (as_bytes(tone(0.05)), "empty or too short"),
        (as_bytes(np.full(16_000, np.nan, np.float32), subtype="FLOAT"), "NaN"),
        (as_bytes(np.full(16_000, np.inf, np.float32), subtype="FLOAT"), "NaN or infinite"),
        (as_bytes(tone(600, 8_000), 8_000), "lasts 600.0 s, the limit is 30 s"),
    ],
    ids=["nothing", "noise", "cut header", "cut body", "no samples", "too short", "nan", "inf", "ten minutes"],
)
def test_unusable_audio_is_refused_in_one_line(data, complaint):
    with pytest.raises(AudioError, match=complaint) as caught:
        audio.decode(data, where="clip 7")
    assert "clip 7" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_is_read_whatever_bytes_its_name_has(tmp_path):
    """Linux takes any; Python has those that are not UTF-8 as halves of characters."""
    for name, data in ((b"caf\xe9.wav", as_bytes(tone(0.5))), (b"na\xefve.wav", b"no audio")):
        (tmp_path / os.fsdecode(name)).write_bytes(data)
    assert audio.decode(tmp_path / os.fsdecode(b"caf\xe9.wav")).size == 8000
    with pytest.raises(AudioError, match="audio cannot be decoded"):
        audio.decode(str(tmp_path / os.fsdecode(b"na\xefve.wav")))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"no such audio file \(.*gone\.wav\)"):
        audio.decode(tmp_path / "gone.wav")


def test_a_long_file_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "long.wav").write_bytes(as_bytes(tone(31, 8_000), 8_000))
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("was decoded"))
    with pytest.raises(AudioError, match=r"31\.0 s"):
        audio.decode(tmp_path / "long.wav")


def test_check_wants_one_channel():
    with pytest.raises(AudioError, match="one channel"):
        audio.check(tone(1.0, channels=2))


@pytest.mark.parametrize("kind", [np.int16, np.int32])
def test_a_waveform_of_whole_numbers_is_scaled_as_its_file_would_be(kind):
    whole = np.round(tone(0.2).astype(np.float64) * 2 ** (8 * np.dtype(kind).itemsize - 1)).astype(kind)
    wave = audio.as_wave(whole)
    assert wave.dtype == np.float32
    assert np.array_equal(wave, audio.decode(as_bytes(whole, subtype={2: "PCM_16", 4: "PCM_32"}[whole.itemsize])))


@pytest.mark.parametrize("form", [list, torch.tensor, np.float64, np.float32])
def test_a_waveform_may_come_as_a_list_a_tensor_or_in_other_floats(form):
    wave = tone(0.2)
    given = form(wave.tolist()) if form is list else form(wave)
    assert np.array_equal(audio.as_wave(given), wave)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (32768 * tone(0.2), "samples as large as 163"),
        ([0, 1000] * 1600, "type int64 has no known scale"),
        (tone(0.2) * 1j, "type complex"),
        (["a"] * 1600, "type <U1"),
        (torch.ones(1600, requires_grad=True), "no waveform"),
        ([[0.1], [0.2, 0.3]], "no waveform"),
        (None, "type object"),
    ],
)
def test_a_waveform_of_no_known_scale_is_one_clear_line(given, says):
    with pytest.raises(AudioError, match=says) as refused:
        audio.as_wave(given)
    assert "give numbers in [-1, 1], or int16 or int32" in str(refused.value)
