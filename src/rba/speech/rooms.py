"""Rooms: a bank of impulse responses shipped with the package, and the command that made it.

Training draws from the bank. Numbers from `COUNT` on are halls, larger than any of its rooms, for evaluation alone.

`python -m rba.speech.rooms OUT.npz` builds the bank again; only that needs pyroomacoustics.
"""

from __future__ import annotations

import functools
import importlib.resources
import sys
from pathlib import Path

import numpy as np
import scipy.signal

from rba.data.audio import SAMPLE_RATE
from rba.errors import DataError

COUNT = 112
BEFORE = 8
MAX_SECONDS = 0.45


@functools.lru_cache(maxsize=1)
def bank() -> tuple[np.ndarray, ...]:
    """The shipped impulse responses: float32 [samples] at 16 kHz, loudest tap 1 at sample `BEFORE`."""
    with importlib.resources.files("rba.speech").joinpath("rooms.npz").open("rb") as stream:
        arrays = np.load(stream)
        samples, ends = arrays["samples"].astype(np.float32), arrays["ends"]
    return tuple(np.split(samples, ends[:-1]))


def reverberate(wave: np.ndarray, room: int, wet: float) -> np.ndarray:
    """Place a voice in room `room`; `wet` in [0, 1] scales all reflections. Same length, direct sound in place.

    Numbers from `COUNT` on are halls.
    """
    response = bank()[room].copy() if room < COUNT else hall(room)
    response[BEFORE + SAMPLE_RATE // 400 :] *= wet  # 2.5 ms: the direct sound, spread by the band limit
    return scipy.signal.fftconvolve(wave, response)[BEFORE : BEFORE + wave.size].astype(np.float32)


def hall(room: int) -> np.ndarray:
    """The impulse response float32 [samples] of hall number `room`: a decaying tail of noise (Polack 1988).

    It reverberates for 0.8 to 1.5 s, the reflections 2 dB above to 6 dB below the direct sound; the bank's rooms end
    at 0.65 s.
    """
    rng = np.random.default_rng(room)
    rt60, before, gain_db = rng.uniform(0.8, 1.5), int(rng.uniform(0.005, 0.02) * SAMPLE_RATE), rng.uniform(-6, 2)
    time = np.arange(int(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(time.size) * 10 ** (-3 * time / rt60)
    tail *= 10 ** (gain_db / 20) / np.sqrt(np.square(tail).sum())
    response = np.zeros(BEFORE + before + tail.size, np.float32)
    response[BEFORE] = 1
    response[BEFORE + before :] += tail.astype(np.float32)
    return response


def _response(rng: np.random.Generator) -> np.ndarray | None:
    """One random shoebox room by the image method; None for a size that cannot have the drawn reverberation time."""
    import pyroomacoustics as pra

    size, rt60 = rng.uniform([2.2, 2.2, 2.2], [9, 8, 3.8]), rng.uniform(0.12, 0.65)
    try:
        absorption, order = pra.inverse_sabine(rt60, size)
    except ValueError:
        return None
    options = {"max_order": min(order, 20), "use_rand_ism": True, "max_rand_disp": 0.05}
    room = pra.ShoeBox(size, fs=SAMPLE_RATE, materials=pra.Material(absorption), **options)
    source = rng.uniform(0.4, size - 0.4)
    room.add_source(source)
    room.add_microphone(np.clip(source + rng.normal(0, 1, 3) * rng.uniform(0.2, 2), 0.3, size - 0.3))
    room.compute_rir()
    response = np.asarray(room.rir[0][0])
    direct = int(np.argmax(np.abs(response)))
    response = np.pad(response, (BEFORE, 0))[direct : direct + int(MAX_SECONDS * SAMPLE_RATE)]
    response = response / response[BEFORE]
    return response[: np.flatnonzero(np.abs(response) > 2e-3)[-1] + 1]


def build(path: Path, count: int = COUNT, seed: int = 0) -> None:
    """Write a bank of `count` rooms as float16. Raises DataError where pyroomacoustics is not installed."""
    try:
        import pyroomacoustics as pra
    except ImportError as error:
        raise DataError("building rooms needs pyroomacoustics", "", "pip install pyroomacoustics==0.10.1") from error
    pra.random.seed(seed)  # its randomised image method draws from a generator of its own
    rng = np.random.default_rng(seed)
    responses: list[np.ndarray] = []
    while len(responses) < count:
        if (response := _response(rng)) is not None:
            responses.append(response.astype(np.float16))
    np.savez_compressed(path, samples=np.concatenate(responses), ends=np.cumsum([r.size for r in responses]))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
