"""Voice morphing: change the frame-level outputs of the hibari network before they are rendered to a waveform.

The network predicts, every 12.5 ms, log magnitudes of a harmonic, a noise and a residual branch over 601 frequency
bins of 20 Hz, phases for the first and last, and F0. Changing these makes another speaker without a second vocoder
and at no cost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rba.speech.speaker import Speaker

BINS = 601
BIN_HZ = 20.0
VOICED_HZ = 40.0
F0_LIMITS_HZ = (55.0, 480.0)
_NEPER_PER_DB = np.float32(np.log(10) / 20)


class Frames(NamedTuple):
    """The network's outputs, in its order: float32 arrays [601, frames], and `f0` [frames] in Hz (0 where unvoiced)."""

    harmonic: np.ndarray
    harmonic_phase: np.ndarray
    noise: np.ndarray
    residual: np.ndarray
    residual_phase: np.ndarray
    f0: np.ndarray


def morph(frames: Frames, speaker: Speaker, rng: np.random.Generator) -> Frames:
    """The same speech in the voice of `speaker`; `rng` draws jitter, drift and local tempo."""
    frames = retime(frames, speaker.wobble, rng)
    f0 = repitch(frames.f0, speaker, rng)
    frames = warp_tract(revoice(frames, f0, speaker.tract), speaker.tract)
    gain = equaliser(speaker)[:, None]
    return frames._replace(
        harmonic=frames.harmonic + gain,
        noise=frames.noise + gain,
        residual=frames.residual + gain + aspiration(speaker)[:, None] * (f0 > VOICED_HZ),
        f0=f0,
    )


def retime(frames: Frames, wobble: float, rng: np.random.Generator) -> Frames:
    """Speed up and slow down locally (log rate of standard deviation `wobble`, about 3 knots a second), same length."""
    count = frames.f0.size
    if wobble <= 0 or count < 20:
        return frames
    knots = max(3, count // 26)
    log_rate = np.interp(np.linspace(0, knots - 1, count), np.arange(knots), rng.normal(0, wobble, knots))
    elapsed = np.cumsum(np.exp(log_rate))
    source = np.rint(elapsed * (count / elapsed[-1]) - 0.5).astype(np.int64).clip(0, count - 1)
    return Frames(*(part[..., source] for part in frames))


def _origin(bins: np.ndarray, tract: float) -> np.ndarray:
    """Where the content of (fractional) `bins` comes from when formants are stretched by `tract`.

    Linear up to 5 kHz; above, what is left of the band is fitted in.
    """
    top, knee = BINS - 1, 5000 / BIN_HZ * min(1.0, tract)
    return np.interp(bins, [0, knee, top], [0, knee / tract, top]).astype(np.float32)


def revoice(frames: Frames, f0: np.ndarray, tract: float) -> Frames:
    """Read the harmonic branch where it has a meaning, at the harmonics of its own pitch, for a voice of pitch `f0`.

    Between its harmonics the network's output is arbitrary, as no energy ever came there in training. So every
    harmonic of the new pitch takes its magnitude from the two old harmonics around its origin, and its phase from the
    nearer one.
    """
    voiced = np.flatnonzero(frames.f0 > VOICED_HZ)
    old, new = frames.f0[voiced] / BIN_HZ, f0[voiced] / BIN_HZ
    bins = np.arange(BINS, dtype=np.float32)[:, None]
    centres = np.maximum(np.rint(bins / new), 1) * new
    order = _origin(centres, tract) / old
    last = np.floor((BINS - 1) / old)
    below = np.floor(order).clip(1, last)
    above = (below + 1).clip(1, last)
    share = (order - below).clip(0, 1)
    low, high = np.rint(below * old).astype(np.int64), np.rint(above * old).astype(np.int64)
    harmonic, phase = frames.harmonic.copy(), frames.harmonic_phase.copy()
    harmonic[:, voiced] = frames.harmonic[low, voiced] * (1 - share) + frames.harmonic[high, voiced] * share
    phase[:, voiced] = frames.harmonic_phase[np.where(share < 0.5, low, high), voiced]
    return frames._replace(harmonic=harmonic, harmonic_phase=phase)


def warp_tract(frames: Frames, tract: float) -> Frames:
    """Stretch the frequency axis of the noise and residual branches by `tract`."""
    if abs(tract - 1) < 1e-3:
        return frames
    source = _origin(np.arange(BINS), tract)
    low = np.minimum(source.astype(np.int64), BINS - 2)
    share = (source - low)[:, None]
    noise, residual = (part[low] * (1 - share) + part[low + 1] * share for part in (frames.noise, frames.residual))
    nearest = np.rint(source).astype(np.int64)  # an interpolated phase would mean nothing
    return frames._replace(noise=noise, residual=residual, residual_phase=frames.residual_phase[nearest])


def aspiration(speaker: Speaker) -> np.ndarray:
    """Gain of the residual branch in voiced frames, log magnitude per bin [601].

    It carries the breath of the voice, all of its noise in effect. Below 4 kHz it also corrects the stock harmonics,
    which is of no use to others: there it gives way, by 12 dB at most, the further pitch and tract are moved.
    """
    moved = min(1.0, (abs(np.log(speaker.f0)) + 2 * abs(np.log(speaker.tract))) / 0.6)
    fade = np.interp(np.arange(BINS) * BIN_HZ, [3000, 5000], [1.0, 0.0])
    return ((speaker.breath - 12 * moved * fade) * _NEPER_PER_DB).astype(np.float32)


def equaliser(speaker: Speaker) -> np.ndarray:
    """The speaker's fixed spectral colour, log magnitude per bin [601]: tilt above 500 Hz plus Gaussian resonances."""
    hz = np.arange(BINS) * BIN_HZ
    decibels = speaker.tilt * np.log2(np.maximum(hz, 500) / 500)
    for centre, gain, octaves in speaker.peaks:
        distance = np.log2(np.maximum(hz, BIN_HZ) / centre) / (octaves / 2)
        decibels = decibels + gain * np.exp(-0.5 * distance**2)
    return (decibels * _NEPER_PER_DB).astype(np.float32)


def repitch(f0: np.ndarray, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """Move the pitch contour [frames]: median, intonation range, slow drift and jitter; unvoiced frames stay."""
    voiced = f0 > VOICED_HZ
    if not voiced.any():
        return f0
    log = np.log(f0[voiced])
    centre = np.median(log)
    log = (log - centre) * speaker.f0_range + centre + np.log(speaker.f0)
    log = log + _wander(f0.size, speaker.drift, rng)[voiced] + rng.normal(0, max(speaker.jitter, 1e-9), log.size)
    moved = f0.copy()
    moved[voiced] = np.exp(log).clip(*F0_LIMITS_HZ)
    return moved


def _wander(count: int, semitones: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random walk over `count` frames with a spread of about `semitones`, centred, in log frequency."""
    knots = max(3, count // 40)
    walk = np.cumsum(rng.normal(0, semitones / np.sqrt(knots), knots))
    path = np.interp(np.linspace(0, knots - 1, count), np.arange(knots), walk)
    return (path - path.mean()) * (np.log(2) / 12)
