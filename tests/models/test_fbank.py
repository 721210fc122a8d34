"""The filter banks of BEATs are Kaldi's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from rba.models.fbank import fbank, filters
from rba.testing.tiny_utterances import tiny_wave


def kaldi(wave: np.ndarray) -> torch.Tensor:
    """What transformers' extractors compute in the place of Kaldi, as BEATs centres it [T, 128]."""
    with pytest.warns(UserWarning, match="mel filter has all zero values"):
        bands = mel_filter_bank(257, 128, 20.0, 8000.0, 16_000, None, "kaldi", triangularize_in_mel_space=True)
    found = spectrogram(
        wave.astype(np.float64) * 2**15,
        window_function(400, "povey", periodic=False),
        **{"frame_length": 400, "hop_length": 160, "fft_length": 512, "power": 2.0, "center": False},
        **{"preemphasis": 0.97, "mel_filters": bands, "log_mel": "log", "mel_floor": 1.192092955078125e-07},
        **{"remove_dc_offset": True, "dtype": np.float64},
    )
    return torch.from_numpy((found.T - 15.41663) / (2 * 6.55582)).float()


@pytest.mark.parametrize("samples", [400, 16_000, 16_559, 16_560])
def test_they_are_those_of_transformers(samples: int):
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples)
    for wave in (noise, np.resize(tiny_wave(0), samples), 0.5 * np.sin(0.1 * np.arange(samples))):
        found, wanted = fbank(wave.astype(np.float32)), kaldi(wave.astype(np.float32))
        assert found.shape == (1 + (samples - 400) // 160, 128)
        torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)


def test_silence_is_the_floor_and_bands_between_two_frequencies_hear_nothing():
    silent = (np.log(np.finfo(np.float32).eps) - 15.41663) / (2 * 6.55582)
    assert torch.allclose(fbank(np.zeros(800, np.float32)), torch.tensor(silent).float())
    assert sorted({int(n) for n in (filters() > 0).sum(0)})[:2] == [0, 1]
