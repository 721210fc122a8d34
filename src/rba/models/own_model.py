"""What audio LMs that transformers lacks have in common: an LLM that reads what is heard between embedded tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from transformers import GenerationMixin, PreTrainedModel


class OwnModel(PreTrainedModel, GenerationMixin):
    """A whole model around the LLM that its weights call `llm_part`; `config.audio_token_index` is the audio token."""

    _supports_sdpa = True
    llm_part: ClassVar[str]

    @property
    def llm(self) -> Any:
        """The LLM."""
        return self.get_submodule(self.llm_part)

    def get_input_embeddings(self) -> Any:
        """The LLM's."""
        return self.llm.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        """The LLM's vocabulary head."""
        return self.llm.get_output_embeddings()

    def get_decoder(self) -> Any:
        """The LLM's decoder."""
        return self.llm.get_decoder()

    def read(self, input_ids: Any, inputs_embeds: Any, rows: Callable[[], torch.Tensor] | None, **kwargs: Any) -> Any:
        """What the LLM gives for token ids [B, T] with `rows` of what is heard in the places of the audio token.

        Where there is none of it, as in later steps of an answer, nothing is heard; nor where embeddings are given.
        """
        if inputs_embeds is None:
            places_BT = input_ids == self.config.audio_token_index
            # of some published checkpoints the audio token lies beyond the table of embeddings
            inputs_embeds = self.get_input_embeddings()(input_ids.masked_fill(places_BT, 0))
            if rows and places_BT.any():
                inputs_embeds = inputs_embeds.masked_scatter(places_BT[..., None], rows().to(inputs_embeds))
        return self.llm(inputs_embeds=inputs_embeds, **kwargs)
