"""Kaldi's filter banks as BEATs hears them: log energies of 128 mel bands in frames of 25 ms, 10 ms apart."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from rba.data.audio import SAMPLE_RATE

BANDS, FRAME, HOP, N_FFT = 128, 400, 160, 512
LOWEST = 20.0
"""Hz, where the first band begins."""
FULL_SCALE = 2**15
"""What samples between -1 and 1 are multiplied by: Kaldi reads whole numbers of 16 bits."""
MEAN, SPREAD = 15.41663, 6.55582
"""Of the energies of the clips that BEATs was trained on."""
FLOOR = float(np.finfo(np.float32).eps)


def fbank(wave: np.ndarray) -> torch.Tensor:
    """Centred log mel energies [T, 128] (float32) of a 16 kHz clip of at least 400 samples: all whole frames of it."""
    # in double precision: silent bands lie further below loud ones than single precision reaches
    frames = torch.as_tensor(wave, dtype=torch.float64).mul(FULL_SCALE).unfold(0, FRAME, HOP)
    frames = frames - frames.mean(1, keepdim=True)
    sharpened = frames - 0.97 * F.pad(frames, (1, 0), mode="replicate")[:, :-1]
    window = torch.hann_window(FRAME, False, dtype=torch.float64) ** 0.85
    power_TF = torch.fft.rfft(sharpened * window, N_FFT).abs() ** 2
    return (((power_TF @ filters()).clamp(min=FLOOR).log() - MEAN) / (2 * SPREAD)).float()


@cache
def filters() -> torch.Tensor:
    """What each frequency adds to each band [N_FFT / 2 + 1, 128]: triangles on Kaldi's mel scale.

    The lowest bands are narrower than the frequencies are apart; those that hold none are silent, as they are in Kaldi.
    """
    freqs_F = torch.linspace(0, SAMPLE_RATE / 2, 1 + N_FFT // 2, dtype=torch.float64)
    mels_F, lowest = _mel(freqs_F), float(_mel(torch.tensor(LOWEST)))
    edges = torch.linspace(lowest, float(mels_F[-1]), BANDS + 2, dtype=torch.float64)
    rising_FM = (mels_F[:, None] - edges[:-1]) / edges.diff()
    return torch.minimum(rising_FM[:, :-1], 1 - rising_FM[:, 1:]).clamp(min=0)


def _mel(hertz: torch.Tensor) -> torch.Tensor:
    return 1127 * (1 + hertz / 700).log()
