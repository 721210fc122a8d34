"""Gemma 3n without its eyes: what a vision tower is built of is not needed, and its weights are carried along unread.

What it hears always takes the same number of rows, filled up with an embedding; tokens of audio and images have
embeddings of their own, beside the LLM's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from safetensors import safe_open
from torch import nn
from transformers import AutoModel, PreTrainedModel

from rba.models.audio_lm import AudioLM
from rba.models.bridge import weight_files

EYES = "vision_tower."


class EyelessConfig(transformers.Gemma3nVisionConfig):
    """The configuration of a vision tower that is not built; it is saved as the one that it was."""


class Eyes(PreTrainedModel):
    """In the place of a vision tower: its weights by their names, to be saved again."""

    config_class = EyelessConfig

    def __init__(self, config: EyelessConfig):
        super().__init__(config)
        self.post_init()

    def hold(self, name: str, weight: torch.Tensor) -> None:
        """Keep the weight that the tower has under a dotted `name`."""
        *path, last = name.split(".")
        place: nn.Module = self
        for step in path:
            if step not in dict(place.named_children()):
                place.add_module(step, nn.Module())
            place = place.get_submodule(step)
        place.register_buffer(last, weight)


AutoModel.register(EyelessConfig, Eyes)


class Gemma3nForConditionalGeneration(transformers.Gemma3nForConditionalGeneration):
    """transformers' class with `Eyes`; under its own name, by which the configuration of a saved model calls it."""

    _keys_to_ignore_on_load_unexpected = [rf"(^|\.){EYES}"]  # noqa: RUF012 (as transformers declares it)

    def __init__(self, config: Any):
        if not isinstance(config.vision_config, EyelessConfig):
            config.vision_config = EyelessConfig(**config.vision_config.to_dict())
        super().__init__(config)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """The model of a folder or hub id, the weights of its vision tower in their place."""
        core: Any = super().from_pretrained(*args, **kwargs)
        for path in weight_files(args[0]):
            with safe_open(path, "pt") as weights:
                for key in weights.keys():  # noqa: SIM118 (it is no dictionary)
                    if name := key.partition(EYES)[2]:
                        core.model.vision_tower.hold(name, weights.get_tensor(key))
        return core

    def vocabulary(self) -> Vocabulary:
        """The embeddings of all tokens."""
        return Vocabulary(self.model)


class Vocabulary(nn.Module):
    """Token ids -> embeddings: the LLM's, and from their offsets on those of images and of audio."""

    def __init__(self, model: Any):
        super().__init__()
        self.table = model.get_input_embeddings()
        self.parts: Any = nn.ModuleList([model.embed_vision, model.embed_audio])

    @property
    def weight(self) -> Any:
        """The LLM's table."""
        return self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows [..., D] of ids [...]."""
        rows = self.table(ids)
        for part in self.parts:
            own, ended = ids >= part.vocab_offset, part.vocab_offset + part.vocab_size
            # what follows a part's own is the next one's
            embedded = part(input_ids=ids.where(own, ended - 1).clamp(max=ended - 1))
            rows = torch.where(own[..., None], embedded.to(rows.dtype), rows)
        return rows


class Gemma3n(AudioLM):
    """A Gemma 3n as a SpeechLM."""

    def _heard(self, clips: Sequence[dict[str, torch.Tensor]]) -> list[torch.Tensor]:
        """What the tower makes of clips of one form [T_i, F], without the rows that its mask calls padding."""
        inputs = self._together(clips)
        heard = self.core.model.audio_tower(inputs["input_features"], ~inputs["input_features_mask"])
        return [rows[~pads] for rows, pads in zip(heard.last_hidden_state, heard.audio_mel_mask)]

    def _project(self, feature: torch.Tensor) -> torch.Tensor:
        """As many rows for every clip: those heard, then the embedding of the last token there is."""
        heard = self.projector(inputs_embeds=feature[None].to(self.lm.device))[0]
        last = torch.tensor([self.core.config.get_text_config().vocab_size - 1], device=self.lm.device)
        missing = self.core.config.audio_soft_tokens_per_image - len(heard)
        return torch.cat([heard, self.projector(input_ids=last).expand(missing, -1)])

    def _passes_for(self) -> int:
        return int(self.core.config.audio_token_id)
