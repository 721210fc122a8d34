"""Background noise: each kind made from a seed, and mixed at an exact ratio.

Training draws from `KINDS`; `RESERVED` kinds are for evaluation alone, so that a model is tested on what it never met.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.signal

from rba.data.audio import SAMPLE_RATE

KINDS = ("coloured", "hum", "clicks", "music", "babble")
RESERVED = ("rain", "engine", "siren", "birds")


def power(wave: np.ndarray) -> float:
    """Mean square of a waveform, never zero."""
    return float(np.mean(np.square(wave, dtype=np.float64))) + 1e-12


def mix(speech: np.ndarray, noise: np.ndarray, snr_db: float, speech_power: float | None = None) -> np.ndarray:
    """Add `noise`, scaled so that speech power is `snr_db` above noise power.

    `speech_power` is the power over the spoken part where `speech` also holds silence; default: over all of it.
    """
    wanted = (speech_power or power(speech)) / 10 ** (snr_db / 10)
    return (speech + noise * np.sqrt(wanted / power(noise))).astype(np.float32)


def make(kind: str, samples: int, seed: int, talkers: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Noise of a kind, float32 [samples] at 16 kHz, a pure function of its arguments.

    `talkers` are clean utterances that babble is made of. Raises KeyError for an unknown kind, ValueError for babble
    without talkers.
    """
    rng = np.random.default_rng(seed)
    noise = babble(samples, rng, talkers) if kind == "babble" else _MAKERS[kind](samples, rng)
    if rng.random() < 0.5:
        knots = rng.uniform(0.3, 1, 6)
        noise = noise * np.interp(np.linspace(0, 5, samples), np.arange(6), knots)
    return noise.astype(np.float32)


def coloured(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise with a power-law spectrum, from blue through white and pink to brown."""
    exponent = rng.uniform(-0.5, 2.2)
    hz = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 20.0)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * hz ** (-exponent / 2), samples)


def hum(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum: a fundamental near 50 or 60 Hz with harmonics of random strength, over a little hiss."""
    fundamental = rng.choice([50.0, 60.0]) * rng.uniform(0.99, 1.01)
    order = np.arange(1, 11)[:, None]
    time = np.arange(samples) / SAMPLE_RATE
    strength, phase = rng.uniform(0.1, 1, order.shape) / order, rng.uniform(0, 2 * np.pi, order.shape)
    tones = (strength * np.sin(2 * np.pi * fundamental * order * time + phase)).sum(axis=0)
    return tones + 0.02 * rng.standard_normal(samples)


def clicks(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Keys, dishes, footsteps: a few decaying resonant bursts a second over faint hiss."""
    out = 0.002 * rng.standard_normal(samples)
    for _ in range(1 + int(samples / SAMPLE_RATE * rng.uniform(1, 6))):
        start = int(rng.integers(samples))
        time = np.arange(min(int(rng.integers(200, 2400)), samples - start)) / SAMPLE_RATE
        body = np.sin(2 * np.pi * rng.uniform(300, 6000) * time) + 0.5 * rng.standard_normal(time.size)
        out[start : start + time.size] += rng.uniform(0.2, 1) * np.exp(-time * rng.uniform(60, 400)) * body
    return out


def music(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Plucked notes of a major scale, each with five partials."""
    out = np.zeros(samples)
    root, step = 110 * 2 ** (rng.integers(12) / 12), int(rng.choice([0.15, 0.2, 0.3, 0.4]) * SAMPLE_RATE)
    partials = np.arange(1, 6)[:, None]
    for start in range(0, samples, step):
        pitch = root * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12 + rng.integers(3))
        time = np.arange(min(int(0.8 * SAMPLE_RATE), samples - start)) / SAMPLE_RATE
        tone = (np.sin(2 * np.pi * pitch * partials * time) * partials**-1.3).sum(axis=0)
        out[start : start + time.size] += np.exp(-4 * time) * tone
    return out


def babble(samples: int, rng: np.random.Generator, talkers: Sequence[np.ndarray]) -> np.ndarray:
    """One to six of the talkers speaking at once, each from a random place and at a random level."""
    if not talkers:
        raise ValueError("babble needs talkers")
    out = np.zeros(samples)
    for index in rng.choice(len(talkers), size=min(len(talkers), int(rng.integers(1, 7))), replace=False):
        voice = talkers[index]
        voice = np.roll(voice, -int(rng.integers(voice.size)))
        out += np.resize(voice, samples) * (rng.uniform(0.3, 1) / np.sqrt(power(voice)))
    return out


def rain(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Rain on leaves: hundreds of short drops a second over a wash of band-limited hiss."""
    hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    wash = np.fft.rfft(rng.standard_normal(samples)) * np.exp(-(((hz - rng.uniform(2500, 5000)) / 2500) ** 2))
    drops = np.zeros(samples)
    hits = rng.integers(samples, size=max(1, int(samples / SAMPLE_RATE * rng.uniform(150, 500))))
    drops[hits] = rng.exponential(1.0, hits.size) * rng.choice([-1, 1], hits.size)
    time = np.arange(80) / SAMPLE_RATE
    drops = scipy.signal.fftconvolve(drops, np.exp(-time * 900) * np.sin(2 * np.pi * rng.uniform(1500, 4000) * time))
    return np.fft.irfft(wash, samples) + 0.6 * drops[:samples]


def engine(samples: int, rng: np.random.Generator) -> np.ndarray:
    """A motor that speeds up and slows down: many harmonics of its firing rate, rough from stroke to stroke."""
    knots = rng.uniform(35, 110, 5)
    rate = np.interp(np.linspace(0, 4, samples), np.arange(5), knots)
    phase = 2 * np.pi * np.cumsum(rate) / SAMPLE_RATE
    order = np.arange(1, 25)
    strength = rng.uniform(0.2, 1, order.size) * order**-0.7
    out = sum(s * np.sin(k * phase + rng.uniform(0, 2 * np.pi)) for k, s in zip(order, strength))
    return out * (1 + 0.4 * np.sin(phase / 2)) + 0.3 * rng.standard_normal(samples)


def siren(samples: int, rng: np.random.Generator) -> np.ndarray:
    """A siren that wails or alternates between two tones, with its overtones."""
    time = np.arange(samples) / SAMPLE_RATE + rng.uniform(0, 4)
    low, high = rng.uniform(450, 700), rng.uniform(900, 1500)
    sweep = np.sin(2 * np.pi * rng.uniform(0.2, 3) * time)
    sweep = np.sign(sweep) if rng.random() < 0.4 else sweep
    phase = 2 * np.pi * np.cumsum(low + (high - low) * (sweep + 1) / 2) / SAMPLE_RATE
    return np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase) + 0.02 * rng.standard_normal(samples)


def birds(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Chirps that glide up or down between 2 and 7 kHz, several a second, over faint air."""
    out = 0.01 * rng.standard_normal(samples)
    for _ in range(1 + int(samples / SAMPLE_RATE * rng.uniform(3, 9))):
        start = int(rng.integers(samples))
        time = np.arange(min(int(rng.integers(800, 3200)), samples - start)) / SAMPLE_RATE
        low, high = rng.uniform(2000, 7000, 2)
        glide = np.linspace(low, high, time.size)
        out[start : start + time.size] += (
            rng.uniform(0.2, 1) * np.hanning(time.size) * np.sin(2 * np.pi * np.cumsum(glide) / SAMPLE_RATE)
        )
    return out


_MAKERS = {
    "coloured": coloured,
    "hum": hum,
    "clicks": clicks,
    "music": music,
    "rain": rain,
    "engine": engine,
    "siren": siren,
    "birds": birds,
}
