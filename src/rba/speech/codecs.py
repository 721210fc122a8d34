"""Channels: telephone band, mu-law, a-law, GSM, ADPCM, Opus and MP3, all through libsndfile in memory."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import scipy.signal
import soundfile
import soxr

from rba.data.audio import SAMPLE_RATE

MAX_COMPRESSION = 0.99  # libsndfile's MP3 encoder refuses 1


@dataclass(frozen=True)
class _Codec:
    """A libsndfile format with the rate it runs at; `lossy` codecs take a compression level in [0, 1]."""

    rate: int
    format: str
    subtype: str
    lossy: bool = False


CODECS: dict[str, _Codec] = {
    "mulaw": _Codec(8000, "WAV", "ULAW"),
    "alaw": _Codec(8000, "WAV", "ALAW"),
    "gsm": _Codec(8000, "WAV", "GSM610"),
    "adpcm": _Codec(8000, "WAV", "G721_32"),
    "opus8": _Codec(8000, "OGG", "OPUS", lossy=True),
    "opus16": _Codec(16000, "OGG", "OPUS", lossy=True),
    "mp3": _Codec(16000, "MP3", "MPEG_LAYER_III", lossy=True),
}


def telephone_band(wave: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """Band-pass a 16 kHz waveform (fourth-order Butterworth)."""
    sections = scipy.signal.butter(4, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE, output="sos")
    return scipy.signal.sosfilt(sections, wave).astype(np.float32)


def transmit(wave: np.ndarray, name: str, compression: float = 0.95) -> np.ndarray:
    """Encode and decode a 16 kHz waveform with a named codec; the length stays. Raises KeyError for an unknown name."""
    codec = CODECS[name]
    sent = soxr.resample(wave, SAMPLE_RATE, codec.rate) if codec.rate != SAMPLE_RATE else wave
    options = {"compression_level": min(compression, MAX_COMPRESSION)} if codec.lossy else {}
    stream = io.BytesIO()
    soundfile.write(stream, sent.clip(-1, 1), codec.rate, format=codec.format, subtype=codec.subtype, **options)
    stream.seek(0)
    got, rate = soundfile.read(stream, dtype="float32")
    got = soxr.resample(got, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else got
    out = np.zeros(wave.size, np.float32)
    out[: got.size] = got[: wave.size]
    return out
