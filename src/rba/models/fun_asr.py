"""Fun-ASR-Nano: its projector attends to all that one clip has, and asks for a mask that says so."""

from __future__ import annotations

import torch

from rba.models.audio_lm import AudioLM


class FunAsr(AudioLM):
    """A Fun-ASR-Nano as a SpeechLM."""

    def _project(self, feature: torch.Tensor) -> torch.Tensor:
        here = feature.to(self.lm.device)
        return self.projector(here[None], torch.ones(1, len(here), dtype=torch.long, device=here.device))[0]
