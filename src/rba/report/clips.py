"""Clips for the page: speech as small Opus files in Ogg, the same bytes every time, and the outline of its loudness."""

from __future__ import annotations

import base64
import io
import struct

import numpy as np
import soundfile

from rba.data.audio import SAMPLE_RATE

COMPRESSION = 0.93
"""libsndfile's scale from 0 to 1; this is about 20 kbit/s, where speech keeps its voice and its noise."""

PEAKS = 56
_CRC_POLYNOMIAL = 0x04C11DB7


def opus(wave: np.ndarray) -> bytes:
    """Ogg Opus bytes of a waveform [samples] at 16 kHz in [-1, 1]."""
    buffer = io.BytesIO()
    settings = {"format": "OGG", "subtype": "OPUS", "compression_level": COMPRESSION}
    soundfile.write(buffer, np.clip(wave, -1, 1), SAMPLE_RATE, **settings)
    return pinned(buffer.getvalue())


def data_uri(clip: bytes) -> str:
    """A clip as an address that holds the clip itself."""
    return "data:audio/ogg;base64," + base64.b64encode(clip).decode("ascii")


def peaks(wave: np.ndarray, bars: int = PEAKS) -> str:
    """Loudness over time as `bars` digits from 0 to 9, the loudest part 9."""
    parts = np.array_split(wave.astype(np.float64), bars)
    loud = np.sqrt([float(np.mean(p**2)) if p.size else 0.0 for p in parts])
    # the root lets quiet consonants show beside loud vowels
    scaled = np.sqrt(loud / max(float(loud.max()), 1e-9))
    return "".join(str(round(9 * v)) for v in scaled)


def pinned(stream: bytes, serial: int = 1) -> bytes:
    """An Ogg file with a fixed stream number; the encoder draws one at random, and the page would never be the same."""
    out, place = bytearray(stream), 0
    while out[place : place + 4] == b"OggS":
        segments = out[place + 26]
        end = place + 27 + segments + sum(out[place + 27 : place + 27 + segments])
        out[place + 14 : place + 18] = struct.pack("<I", serial)
        out[place + 22 : place + 26] = bytes(4)
        out[place + 22 : place + 26] = struct.pack("<I", _crc(out[place:end]))
        place = end
    return bytes(out)


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (_CRC_POLYNOMIAL if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return tuple(table)


_CRC = _crc_table()


def _crc(page: bytes | bytearray) -> int:
    """The checksum of an Ogg page (RFC 3533): CRC-32, most significant bit first, no inversion."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _CRC[(value >> 24) ^ byte]
    return value
