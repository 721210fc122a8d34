"""Gradient checkpointing that lives with a memory of keys and values.

A block keeps its inputs for the backward pass and runs again there. transformers' own switch takes the cache away from
the blocks, and with it what prompts share. Here the cache is an input and an output of the block like any other: the
second run reads what the first one read and adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from rba.lm.attention import short_attention


class _Memory:
    """What one block sees of a cache: it appends to the keys and values of one layer."""

    def __init__(self, keys: torch.Tensor | None, values: torch.Tensor | None):
        self.keys, self.values = keys, values

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append along the positions; all keys and values so far."""
        self.keys = keys if self.keys is None else torch.cat([self.keys, keys], dim=-2)
        self.values = values if self.values is None else torch.cat([self.values, values], dim=-2)
        return self.keys, self.values

    def get_seq_length(self, *args: Any) -> int:
        """Positions so far."""
        return 0 if self.keys is None else self.keys.shape[-2]


@contextmanager
def recomputed(decoder: Any, on: bool) -> Iterator[None]:
    """Inside, the blocks of `decoder` (its `layers`) are checkpointed, if `on` and where gradients are kept.

    Outputs and gradients are the same. The cache must be one of plain growing layers.
    """
    if not (on and torch.is_grad_enabled()):
        yield
        return
    for number, block in enumerate(decoder.layers):
        # on the instance and not around the call: hooks of the module run once
        block.forward = partial(_run, block.forward, number)
    try:
        yield
    finally:
        for block in decoder.layers:
            del block.forward


def _run(block: Callable[..., Any], number: int, hidden_BTD: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Run block `number` under a checkpoint and leave its keys and values in the cache."""
    cache = kwargs.pop("past_key_values", None)
    layer = cache.layers[number] if cache is not None else None
    before = (layer.keys, layer.values) if layer is not None and layer.is_initialized else (None, None)
    kernel = nullcontext if cache is None else partial(short_attention, hidden_BTD.device)

    def again(hidden_BTD: torch.Tensor, keys: torch.Tensor | None, values: torch.Tensor | None) -> Any:
        memory = None if cache is None else _Memory(keys, values)
        # passes with a cache choose their kernels in a context that the second run is outside of
        with kernel():
            out = block(hidden_BTD, *args, past_key_values=memory, **kwargs)
        return (out, memory.keys, memory.values) if memory is not None else (out, None, None)

    out, keys, values = checkpoint(again, hidden_BTD, *before, use_reentrant=False)
    if layer is not None:
        if not layer.is_initialized:
            layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
    return out
