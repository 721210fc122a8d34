"""Embeddings that remember their tokens, for LLMs whose blocks read token ids beside them.

A row has three more numbers than the LLM is wide: the digits of its token's id to the base of 256, which are whole
numbers in every precision. What joins, pads and shares rows need not know of them; they are read, and taken off, where
the LLM begins.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch

from rba.lm.scoring import backbone

BASE, DIGITS = 256, 3


def worded(rows: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Rows [..., D] and their token ids [...] -> rows [..., D + 3]."""
    digits = torch.stack([ids // BASE**place % BASE for place in range(DIGITS)], -1)
    return torch.cat([rows, digits.to(rows)], -1)


def unworded(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [..., D + 3] -> rows [..., D] and token ids [...]."""
    digits = rows[..., -DIGITS:].detach().long()
    return rows[..., :-DIGITS], sum(digits[..., place] * BASE**place for place in range(DIGITS))


def as_wide(rows: torch.Tensor, words: torch.Tensor, token: int) -> torch.Tensor:
    """Rows [T, D] that are no words, as wide as `words` are: they pass for `token`."""
    if rows.shape[-1] == words.shape[-1]:
        return rows
    return worded(rows, torch.full(rows.shape[:-1], token, device=rows.device))


class WordedEmbedding(torch.nn.Module):
    """Token ids -> rows that remember them."""

    def __init__(self, table: torch.nn.Module):
        super().__init__()
        self.table = table

    @property
    def weight(self) -> Any:
        """The table's own weights."""
        return self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows [..., D + 3] of ids [...]."""
        return worded(self.table(ids), ids)


def fit(core: Any) -> None:
    """Have a model's embeddings and LLM work here as in its own forward pass, which stays as it is."""
    llm, config = backbone(core), core.config.get_text_config()
    if not getattr(config, "hidden_size_per_layer_input", 0):
        return
    parted = hasattr(core, "vocabulary")
    rows = WordedEmbedding(core.vocabulary() if parted else core.get_input_embeddings())
    width, known = config.hidden_size, config.vocab_size_per_layer_input
    alone = len(signature(llm.get_per_layer_inputs).parameters) == 1
    core.get_input_embeddings = lambda: rows

    def read(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = kwargs.get("inputs_embeds")
        if given is None and parted:  # the LLM's own table is not all of the vocabulary
            given = rows(kwargs["input_ids"])
        if given is None or given.shape[-1] == width:
            return None
        plain, ids = unworded(given)
        ids = ids.where(ids < known, 0)
        layers = module.get_per_layer_inputs(ids) if alone else module.get_per_layer_inputs(ids, plain)
        return args, {**kwargs, "input_ids": None, "inputs_embeds": plain, "per_layer_inputs": layers}

    llm.register_forward_pre_hook(read, with_kwargs=True)
