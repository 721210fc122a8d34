"""Encoders that hear the waveform itself: Moonshine, wav2vec 2.0 and its kin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from rba.data.audio import SAMPLE_RATE
from rba.models.whisper import DOWNSAMPLING, HOP

MOONSHINE = "moonshine"
FAMILIES = (
    MOONSHINE,
    "wav2vec2",
    "wav2vec2-conformer",
    "hubert",
    "wavlm",
    "data2vec-audio",
    "unispeech",
    "unispeech-sat",
)
"""The `model_type` of what can be opened."""
_STRIDES = {"whisper": (HOP, DOWNSAMPLING), MOONSHINE: (64, 3, 2)}


class WaveEncoder(torch.nn.Module):
    """A frozen encoder of waveforms; features are the states after its last block.

    `normalise` says whether it was trained on clips of zero mean and unit variance.
    """

    def __init__(self, encoder: Any, normalise: bool):
        super().__init__()
        self.encoder, self.normalise = encoder.eval().requires_grad_(False), normalise

    @property
    def width(self) -> int:
        """The size of a feature vector."""
        config = self.encoder.config
        return int(config.output_hidden_size if getattr(config, "add_adapter", False) else config.hidden_size)

    @property
    def frame_rate(self) -> float:
        """Feature vectors of a second."""
        return frame_rate(self.encoder.config)

    @torch.inference_mode()
    def forward(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Features [T_i, width] (float32) of 16 kHz mono clips.

        One clip at a time: where a norm runs over the whole length, pads would be heard.
        """
        return [self._one(torch.as_tensor(wave, dtype=torch.float32)) for wave in waves]

    def _one(self, wave_N: torch.Tensor) -> torch.Tensor:
        if self.normalise:
            wave_N = (wave_N - wave_N.mean()) / (wave_N.var(correction=0) + 1e-7).sqrt()
        first = next(self.encoder.parameters())
        return self.encoder(wave_N[None].to(first.device, first.dtype)).last_hidden_state[0].float()


def frame_rate(config: Any) -> float:
    """Feature vectors that an encoder of this configuration, or Whisper's, makes of a second of sound."""
    fixed = _STRIDES.get(config.model_type)
    samples = math.prod(fixed or config.conv_stride)
    if getattr(config, "add_adapter", False):
        samples *= config.adapter_stride**config.num_adapter_layers
    return SAMPLE_RATE / samples


def open_wave_encoder(place: str, config: Any, dtype: torch.dtype) -> WaveEncoder:
    """The encoder at a local folder or hub id. Raises OSError or ValueError if it cannot be read."""
    from transformers import AutoFeatureExtractor, AutoModel

    model = AutoModel.from_pretrained(place, dtype=dtype)
    if config.model_type == MOONSHINE:
        return WaveEncoder(model.get_encoder(), normalise=False)
    return WaveEncoder(model, bool(AutoFeatureExtractor.from_pretrained(place).do_normalize))
