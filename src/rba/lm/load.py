"""Loading a causal LM with its tokenizer from a registry name, a local folder or a hub id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from rba.errors import ModelError
from rba.lm import chat, quantization
from rba.lm.number_format import AUTO, number_format, pick_device
from rba.lm.quantization import NONE
from rba.lm.sharding import Whole
from rba.lm.support import check_supported


@dataclass
class TextLM:
    """A causal LM and what is needed to talk to it. `end_ids` are the tokens that end a turn.

    `weights` says how the model's weights are held; those of one that is divided among processes are used together.
    `quantize` says what its blocks were rounded to (`rba.lm.quantization`).
    """

    model: Any
    tokenizer: Any
    name: str
    end_ids: list[int] = field(default_factory=list)
    weights: Whole = field(default_factory=Whole)
    quantize: str = NONE

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def embed(self, ids: list[int]) -> torch.Tensor:
        """Input embeddings [T, D] of token ids."""
        index = torch.tensor(ids, dtype=torch.long, device=self.device)
        return self.model.get_input_embeddings()(index)

    @torch.no_grad()
    def table(self) -> torch.Tensor:
        """Input embeddings [V, D] of all tokens, as `embed` gives them: some LLMs scale what they look up."""
        embedding = self.model.get_input_embeddings()
        plain = type(embedding) is torch.nn.Embedding
        return embedding.weight if plain else self.embed(list(range(len(embedding.weight))))


def load_lm(name: str, dtype: str = AUTO, device: torch.device | None = None, quantize: str = NONE) -> TextLM:
    """Load a causal LM in evaluation mode; `dtype` "auto" is bfloat16 where the machine multiplies it, else float32.

    It is put on `device`, or on CUDA where there is one; `quantize` is one of `rba.lm.quantization`. Raises ModelError
    if it is missing, has no chat template, or is of a kind that is not supported (`rba.lm.support`).
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from rba.weights.opening import opening
    from rba.weights.resolve import resolve

    logging.disable_progress_bar()
    tokenizer, place = load_tokenizer(name), resolve(name)
    with opening("the language model", name):
        model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=number_format(dtype))
    check_supported(model, name)
    place_on = device or pick_device()
    quantization.quantize(model, quantize, place_on, number_format(dtype, place_on))
    model = model.to(place_on).eval().requires_grad_(False)
    return TextLM(model, tokenizer, name, chat.end_ids(tokenizer, model), quantize=quantize)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a causal LM, which pads on the left. Raises ModelError if it is missing or has no template."""
    from transformers import AutoTokenizer

    from rba.weights.opening import opening
    from rba.weights.resolve import resolve

    with opening("the language model", name):
        tokenizer: Any = AutoTokenizer.from_pretrained(resolve(name))
    if not tokenizer.chat_template:
        raise ModelError("the language model has no chat template", name, "choose an instruction-tuned model")
    tokenizer.padding_side = "left"
    return tokenizer
