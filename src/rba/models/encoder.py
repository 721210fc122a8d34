"""Speech encoders of the compact SpeechLM: what makes feature vectors of a clip's sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from rba.errors import ModelError
from rba.models.wave_encoder import FAMILIES, WaveEncoder, open_wave_encoder
from rba.models.whisper import WhisperEncoder, open_whisper_encoder


class SpeechEncoder(Protocol):
    """A frozen encoder of 16 kHz mono clips, each as long as it is."""

    @property
    def width(self) -> int:
        """The size of a feature vector."""
        ...

    @property
    def frame_rate(self) -> float:
        """Feature vectors of a second of sound."""
        ...

    def __call__(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Features [T_i, width] (float32) of clips [samples]; those of one do not depend on the others."""
        ...


def load_encoder(name: str, dtype: str = "float32") -> SpeechEncoder:
    """Load the encoder of a checkpoint, by registry name, local folder or hub id.

    Raises ModelError if it is missing or of a family that is not known here.
    """
    from transformers import AutoConfig

    from rba.lm.number_format import number_format, pick_device
    from rba.weights.opening import opening
    from rba.weights.resolve import resolve

    place = resolve(name)
    with opening("the speech encoder", name):
        config = AutoConfig.from_pretrained(place)
        encoder = _open(place, config, number_format(dtype), name)
    return encoder.to(pick_device())


def _open(place: str, config: Any, dtype: torch.dtype, name: str) -> WhisperEncoder | WaveEncoder:
    if config.model_type == "whisper":
        return open_whisper_encoder(place, dtype)
    if config.model_type in FAMILIES:
        return open_wave_encoder(place, config, dtype)
    fix = f"choose a checkpoint of whisper, {', '.join(FAMILIES)}"
    raise ModelError(f"a speech encoder of the family {config.model_type} is not known", name, fix)
