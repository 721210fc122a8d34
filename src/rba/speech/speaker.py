"""Speakers: what makes one synthetic voice differ from another, and a bank of them split for training and testing."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from rba.data import seeds
from rba.data.instruction import SPLITS
from rba.errors import DataError, RecipeError
from rba.speech.accents import MIX

Peak = tuple[float, float, float]


@dataclass(frozen=True)
class Speaker:
    """One voice, as changes to the engine's stock voice.

    `f0`: ratio to the stock pitch. `f0_range`: exponent on intonation (1 = as is). `tract`: formant ratio, above 1 is
    a shorter vocal tract. `speed`: speaking rate ratio. `tilt`: dB per octave above 500 Hz. `breath`: aspiration
    noise, dB. `jitter`: relative frame-to-frame pitch noise. `drift`: slow pitch wander, semitones. `wobble`: local
    tempo variation (log standard deviation). `peaks`: fixed resonances as (Hz, dB, octaves). `accent_strength`: share
    of the accent's rules. `reference`: the recording of a voice to be cloned, and `reference_text` its words, or empty.
    """

    id: str
    f0: float = 1.0
    f0_range: float = 1.0
    tract: float = 1.0
    speed: float = 1.0
    tilt: float = 0.0
    breath: float = 0.0
    jitter: float = 0.0
    drift: float = 0.0
    wobble: float = 0.0
    peaks: tuple[Peak, ...] = ()
    accent: str = "us"
    accent_strength: float = 0.0
    reference: str = ""
    reference_text: str = ""


@dataclass(frozen=True)
class _Kind:
    """A population of voices: log-normal pitch and tract length (mean ratio, log standard deviation), and its share."""

    share: float
    f0: tuple[float, float]
    tract: tuple[float, float]


# Pitch and tract shifts are what costs naturalness, so these spreads stay narrower than those of timbre and timing,
# which are nearly free. Pitch and tract follow each other, as they do in people.
_KINDS = (
    _Kind(0.44, (0.98, 0.15), (1.00, 0.045)),
    _Kind(0.45, (0.58, 0.15), (0.87, 0.040)),
    _Kind(0.11, (1.30, 0.09), (1.13, 0.035)),
)


def make_speaker(seed: int, index: int) -> Speaker:
    """Speaker number `index` of the bank with this seed: a pure function of both."""
    rng = seeds.rng("speaker", seed, index)
    kind = _KINDS[rng.choice(len(_KINDS), p=[k.share for k in _KINDS])]
    common = rng.normal()
    f0 = kind.f0[0] * np.exp(kind.f0[1] * (0.4 * common + 0.92 * rng.normal()))
    tract = kind.tract[0] * np.exp(kind.tract[1] * (0.4 * common + 0.92 * rng.normal()))
    values = {
        "f0": np.clip(f0, 0.42, 1.6),
        "f0_range": np.clip(np.exp(rng.normal(0, 0.33)), 0.4, 1.9),
        "tract": np.clip(tract, 0.78, 1.24),
        "speed": np.clip(np.exp(rng.normal(0, 0.15)), 0.72, 1.42),
        "tilt": rng.normal(0, 1.8),
        "breath": np.clip(rng.normal(0, 3.5), -8, 7),
        "jitter": rng.uniform(0, 0.011),
        "drift": rng.uniform(0, 1.6),
        "wobble": rng.uniform(0, 0.22),
        "accent_strength": rng.uniform(0.1, 0.36),
    }
    accent = str(rng.choice(list(MIX), p=list(MIX.values())))
    numbers: dict[str, Any] = {key: round(float(value), 4) for key, value in values.items()}
    return Speaker(id=_name(seed, index), peaks=_peaks(rng), accent=accent, **numbers)


def _peaks(rng: np.random.Generator, count: int = 5) -> tuple[Peak, ...]:
    hz = np.exp(rng.uniform(np.log(220), np.log(6800), count))
    gains, widths = rng.normal(0, 5.5, count), rng.uniform(0.28, 1.2, count)
    return tuple((round(float(h), 1), round(float(g), 2), round(float(w), 3)) for h, g, w in zip(hz, gains, widths))


def _name(seed: int, index: int) -> str:
    return f"hibari-{index:04d}" if seed == 0 else f"hibari.{seed}-{index:04d}"


@functools.lru_cache(maxsize=4096)
def speaker(name: str) -> Speaker:
    """The speaker with this id, e.g. "hibari-0042". Raises DataError if it is no speaker's id."""
    return make_speaker(*_numbers(name))


def _numbers(name: str) -> tuple[int, int]:
    """The seed and index in a speaker's id."""
    head, _, index = name.rpartition("-")
    prefix, _, seed = head.partition(".")
    if prefix != "hibari" or not index.isdecimal() or not (seed or "0").isdecimal():
        raise DataError("no such speaker", name, "speaker ids look like hibari-0042")
    return int(seed or 0), int(index)


def home_split(name: str) -> str:
    """The split that the bank's speaker with this id belongs to. Raises DataError if it is no speaker's id."""
    return split_of(_numbers(name)[1])


def split_of(index: int | str, test_share: float = 0.15, validation_share: float = 0.05) -> str:
    """The split of speaker `index`, a number or a name: by its hash alone, so that no bank size or seed can move it."""
    place = seeds.derive("speaker split", index) / 2**63
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"


@functools.lru_cache(maxsize=32)
def _indices(size: int, split: str, test_share: float, validation_share: float) -> tuple[int, ...]:
    return tuple(i for i in range(size) if split_of(i, test_share, validation_share) == split)


@dataclass(frozen=True)
class SpeakerBank:
    """`size` speakers, numbered from 0; `speakers("train")` lists those of a split. The splits share no speaker."""

    size: int = 1200
    seed: int = 0
    test_share: float = 0.15
    validation_share: float = 0.05

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Speaker:
        if not 0 <= index < self.size:
            raise IndexError(index)
        return speaker(_name(self.seed, index))

    def indices(self, split: str) -> tuple[int, ...]:
        """The numbers of a split's speakers. Raises RecipeError for an unknown split."""
        if split not in SPLITS:
            raise RecipeError("unknown split", split, f"use one of {', '.join(SPLITS)}")
        return _indices(self.size, split, self.test_share, self.validation_share)

    def speakers(self, split: str) -> list[Speaker]:
        """All speakers of a split."""
        return [self[i] for i in self.indices(split)]

    def draw(self, split: str, count: int, *parts: object) -> list[Speaker]:
        """`count` different speakers of a split, chosen by `parts`. Raises RecipeError if the split has too few."""
        pool = self.indices(split)
        if len(pool) < count:
            what = f"{len(pool)} {split} speakers cannot give {count} different voices"
            raise RecipeError(what, "speech.speakers", "ask for more speakers or fewer voices")
        chosen = seeds.rng("voices", *parts).choice(len(pool), size=count, replace=False)
        return [self[pool[i]] for i in chosen]


def split(bank: SpeakerBank, test_share: float = 0.15, validation_share: float = 0.05) -> dict[str, list[Speaker]]:
    """The bank's speakers by split, with these shares; no speaker is in two splits."""
    shared = SpeakerBank(bank.size, bank.seed, test_share, validation_share)
    return {name: shared.speakers(name) for name in SPLITS}
