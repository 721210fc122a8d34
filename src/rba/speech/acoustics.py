"""Acoustics: where and through what a voice is heard, as numbers that re-create it bit for bit.

`sample` draws a profile's acoustics, `apply` uses them on a clean voice, `Acoustics.to_json` keeps them:

    heard = acoustics.sample("moderate", rng)
    wave = acoustics.apply(clean, heard)
    assert Acoustics.from_json(heard.to_json()) == heard
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.signal
import soxr

from rba.data.audio import SAMPLE_RATE
from rba.errors import DataError, RecipeError
from rba.speech import codecs, noise, rooms

PEAK = 0.98
NO_ROOM = -1


@dataclass(frozen=True)
class Acoustics:
    """All parameters of one rendering. The defaults leave a clean voice as it is, at -24 dBFS.

    `tempo`: playing speed, pitch moves along. `room`: number in the bank or -1, with `wet` in [0, 1]. `eq`: dB at
    evenly spaced frequencies from 0 to 8 kHz. `noise`: kind or "", at `snr_db` over the speech, made from
    `noise_seed`. `clip`: share of samples that stay below the clipping level (1 = none). `band`: pass band in Hz or
    (). `codec`: name or "", with `compression` in [0, 1]. `level_db`: RMS over the speech, dBFS. `lead`, `tail`:
    seconds of silence around it.
    """

    tempo: float = 1.0
    room: int = NO_ROOM
    wet: float = 0.0
    eq: tuple[float, ...] = ()
    noise: str = ""
    snr_db: float = 0.0
    noise_seed: int = 0
    clip: float = 1.0
    band: tuple[float, ...] = ()
    codec: str = ""
    compression: float = 0.0
    level_db: float = -24.0
    lead: float = 0.0
    tail: float = 0.0

    def to_json(self) -> str:
        """Compact JSON of the fields that differ from the defaults."""
        fields = {f.name: (getattr(self, f.name), f.default) for f in dataclasses.fields(self)}
        return json.dumps({k: v for k, (v, default) in fields.items() if v != default}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Acoustics:
        """The acoustics that `to_json` wrote. Raises DataError for anything else."""
        try:
            values = json.loads(text)
            lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
            return cls(**{**values, **lists})
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError("not the acoustics of an utterance", text[:60], "render the speech again") from error

    def tags(self) -> list[str]:
        """What was done, in words, for statistics: e.g. ["room", "noise:hum", "codec:gsm"]; ["clean"] for nothing."""
        present = {
            "tempo": self.tempo != 1,
            "room": self.room != NO_ROOM,
            "eq": bool(self.eq),
            f"noise:{self.noise}": bool(self.noise),
            "clip": self.clip < 1,
            "band": bool(self.band),
            f"codec:{self.codec}": bool(self.codec),
        }
        return [name for name, is_there in present.items() if is_there] or ["clean"]


@dataclass(frozen=True)
class Profile:
    """How hard listening is made: the probability of each step, and how far speech stands above noise (dB)."""

    tempo: float = 0.0
    room: float = 0.0
    eq: float = 0.0
    noise: float = 0.0
    snr_db: tuple[float, float] = (10.0, 30.0)
    clip: float = 0.0
    telephone: float = 0.0
    codec: float = 0.0


PROFILES: dict[str, Profile] = {
    "clean": Profile(),
    "moderate": Profile(
        tempo=0.4, room=0.35, eq=0.4, noise=0.5, snr_db=(12.0, 35.0), clip=0.02, telephone=0.08, codec=0.08
    ),
    "hard": Profile(
        tempo=0.5, room=0.55, eq=0.5, noise=0.75, snr_db=(4.0, 25.0), clip=0.06, telephone=0.15, codec=0.15
    ),
}

_NOISES = {"coloured": 0.3, "hum": 0.1, "clicks": 0.17, "music": 0.18, "babble": 0.25}
_TELEPHONE_CODECS = {"": 0.25, "mulaw": 0.25, "alaw": 0.2, "gsm": 0.2, "adpcm": 0.1}
_WIDE_CODECS = {"opus8": 0.3, "opus16": 0.35, "mp3": 0.35}


def profile_named(name: str) -> Profile:
    """The profile with this name. Raises RecipeError for an unknown one."""
    if name not in PROFILES:
        raise RecipeError("unknown acoustics profile", name, f"use one of {', '.join(PROFILES)}")
    return PROFILES[name]


def sample(profile: str, rng: np.random.Generator) -> Acoustics:
    """Draw acoustics of a named profile. Raises RecipeError for an unknown name."""
    odds = profile_named(profile)

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    values: dict[str, object] = {
        "lead": _uniform(rng, 0.02, 0.4),
        "tail": _uniform(rng, 0.05, 0.5),
        "level_db": _uniform(rng, -32, -18),
    }
    if chance(odds.tempo):
        values["tempo"] = _uniform(rng, 0.92, 1.08)
    if chance(odds.room):
        values |= {"room": int(rng.integers(rooms.COUNT)), "wet": _uniform(rng, 0.25, 1)}
    if chance(odds.eq):
        values["eq"] = tuple(round(float(gain), 2) for gain in rng.normal(0, 3.5, rng.integers(2, 7)))
    if chance(odds.noise):
        values |= {"noise": _pick(rng, _NOISES), "snr_db": _uniform(rng, *odds.snr_db)}
        values["noise_seed"] = int(rng.integers(2**31))
    if chance(odds.clip):
        values["clip"] = _uniform(rng, 0.97, 0.998)
    if chance(odds.telephone):
        values |= {"band": (_uniform(rng, 180, 320), _uniform(rng, 3200, 3700)), "codec": _pick(rng, _TELEPHONE_CODECS)}
    elif chance(odds.codec):
        values |= {"codec": _pick(rng, _WIDE_CODECS), "compression": _uniform(rng, 0.9, 0.99)}
    return Acoustics(**values)  # type: ignore[arg-type]


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def apply(wave: np.ndarray, heard: Acoustics, talkers: Sequence[np.ndarray] = ()) -> np.ndarray:
    """The voice `wave` (float32 [samples], 16 kHz) as heard: tempo, room, EQ, noise, clipping, band, codec, level.

    `talkers` are the clean utterances that babble is mixed from; ValueError if it is asked for without them.
    """
    if heard.tempo != 1:
        wave = soxr.resample(wave, SAMPLE_RATE * heard.tempo, SAMPLE_RATE)
    lead, tail = round(heard.lead * SAMPLE_RATE), round(heard.tail * SAMPLE_RATE)
    spoken = slice(lead, lead + wave.size)
    wave = np.pad(wave, (lead, tail)).astype(np.float32)
    if heard.room != NO_ROOM:
        wave = rooms.reverberate(wave, heard.room, heard.wet)
    if heard.eq:
        wave = equalise(wave, heard.eq)
    if heard.noise:
        background = noise.make(heard.noise, wave.size, heard.noise_seed, talkers)
        wave = noise.mix(wave, background, heard.snr_db, noise.power(wave[spoken]))
    if heard.clip < 1:
        limit = np.quantile(np.abs(wave), heard.clip)
        wave = wave.clip(-limit, limit)
    if heard.band:
        wave = codecs.telephone_band(wave, *heard.band)
    if heard.codec:
        wave = codecs.transmit(wave * np.float32(0.7 / max(np.abs(wave).max(), 1e-6)), heard.codec, heard.compression)
    gain = 10 ** (heard.level_db / 20) / np.sqrt(noise.power(wave[spoken]))
    gain = min(gain, PEAK / max(float(np.abs(wave).max()), 1e-6))
    return (wave * np.float32(gain)).astype(np.float32)


def equalise(wave: np.ndarray, gains_db: Sequence[float]) -> np.ndarray:
    """Filter with a linear-phase response through `gains_db`, evenly spaced from 0 to 8 kHz; no delay, same length."""
    grid = np.linspace(0, 1, 129)
    gains = np.interp(grid, np.linspace(0, 1, len(gains_db)), gains_db)
    taps = scipy.signal.firwin2(129, grid, 10 ** (gains / 20))
    return scipy.signal.fftconvolve(wave, taps, "same").astype(np.float32)
