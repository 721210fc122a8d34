"""What every SpeechLM offers to alignment and evaluation, whatever its family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from rba.lm.load import TextLM
from rba.lm.preamble import System
from rba.models.clips import Clips


class SpeechLM(Protocol):
    """A language model that can be spoken to.

    Speech becomes prompt embeddings of the LLM in two steps, so that what a frozen encoder computes can be kept:
    `encode` (waveforms -> features) and `prompts` (features -> embeddings, differentiable in the connector).
    """

    lm: TextLM
    name: str

    def encode(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Features [T_i, F] of 16 kHz mono waveforms; frozen, one tensor a clip, free of pads."""
        ...

    def prompts(self, features: Sequence[Clips], system: System = None) -> list[torch.Tensor]:
        """Prompt embeddings [T_i, D] of spoken requests, chat frame included; a request may be of several clips.

        Raises ModelError (`rba.models.clips.only_one`) for several where the model takes one clip a prompt.
        """
        ...

    def text_prompts(self, texts: Sequence[str], system: System = None) -> list[torch.Tensor]:
        """Prompt embeddings [T_i, D] of the same requests typed: the model's own text-input ceiling."""
        ...

    def listen(self, features: Sequence[Clips], system: System = None) -> tuple[list[torch.Tensor], list[str] | None]:
        """`prompts` without gradients, and the words read off the speech; None from a model that reads none off."""
        ...

    def connector_parameters(self) -> Iterator[torch.nn.Parameter]:
        """The weights between encoder and LLM."""
        ...

    def save(self, folder: Path) -> None:
        """Write a checkpoint folder that `rba.models.load.load_speechlm` opens."""
        ...
