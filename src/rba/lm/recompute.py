"""Gradient checkpointing that lives with a memory of keys and values.

A block keeps its inputs for the backward pass and runs again there. transformers' own switch takes the cache away from
the blocks, and with it what prompts share. Here the cache is an input and an output of the block like any other: the
second run reads what the first one read and adds nothing to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from rba.errors import ModelError
from rba.lm.attention import short_attention
from rba.lm.memory import Memory


@contextmanager
def recomputed(decoder: Any, on: bool) -> Iterator[None]:
    """Inside, the blocks of `decoder` (its `layers`) are checkpointed, if `on` and where gradients are kept.

    Outputs and gradients are the same. The cache must be one of plain growing layers. Raises ModelError as
    `check_recomputed` does.
    """
    if not (on and torch.is_grad_enabled()):
        yield
        return
    check_recomputed(decoder)
    for number, block in enumerate(decoder.layers):
        # on the instance and not around the call: hooks of the module run once
        block.forward = partial(_run, block.forward, number)
    try:
        yield
    finally:
        for block in decoder.layers:
            del block.forward


def check_recomputed(decoder: Any) -> None:
    """Raise ModelError where `recomputed` cannot run the blocks of `decoder` again."""
    check_apart(decoder, "align.gradient_checkpointing", "set it to false")


def check_apart(decoder: Any, where: str, fix: str) -> None:
    """Raise ModelError for an LLM without a list of blocks, `layers`, that take their memory as `past_key_values`.

    And for one whose blocks hand each other keys and values past their outputs.
    """
    blocks = getattr(decoder, "layers", None)
    if not blocks:
        raise ModelError("the LLM is not a list of blocks", where, fix)
    if any("past_key_values" not in inspect.signature(block.forward).parameters for block in blocks):
        raise ModelError("this LLM's blocks take keys and values in a way of their own", where, fix)
    if getattr(getattr(decoder, "config", None), "num_kv_shared_layers", 0):
        raise ModelError("this LLM's blocks read each other's keys and values and cannot be run apart", where, fix)


def _run(block: Callable[..., Any], number: int, hidden_BTD: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Run block `number` under a checkpoint and leave its keys and values in the cache, or in its own memory."""
    cache = kwargs.pop("past_key_values", None)
    if cache is None:
        return checkpoint(partial(_short, block, **kwargs), hidden_BTD, *args, use_reentrant=False)
    held = cache if isinstance(cache, Memory) else Memory.of(cache.layers[number])

    def again(hidden_BTD: torch.Tensor, keys: torch.Tensor | None, values: torch.Tensor | None) -> Any:
        memory = Memory(keys, values)
        out = _short(block, hidden_BTD, *args, past_key_values=memory, **kwargs)
        return out, memory.keys, memory.values

    out, held.keys, held.values = checkpoint(again, hidden_BTD, held.keys, held.values, use_reentrant=False)
    if held is not cache:
        held.store()
    return out


def _short(block: Callable[..., Any], hidden_BTD: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Run a block with the kernels of the first run, whose context the second one is outside of."""
    with short_attention(hidden_BTD.device):
        return block(hidden_BTD, *args, **kwargs)
