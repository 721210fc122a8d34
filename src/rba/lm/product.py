"""Linear layers for few rows: their adapters summed in, several of one input as one, weights laid out beforehand.

oneDNN multiplies bfloat16 matrices in blocks, and lays a plain weight matrix out in blocks at every call. Where rows
are few, as when a batch draws its next token, that takes up to as long as the product. torch keeps laid-out weights for
compiled models alone, behind two operators that are used here as they are.

An adapter's two thin products take as long as one of the layer's own, so that theirs and their sum are one with it:
W x + s B (A x) = [W, s B] [x; A x].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn import Linear

from rba.lm.number_format import x86_multiplies_bfloat16

MOST = 4 * 2**30
"""Bytes of weights up to which a model's are copied: they are in memory twice meanwhile."""

Product = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Summed:
    """What a linear layer does to states x [..., D], an adapter's part included: W x + b + U (V x)."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    down: torch.Tensor | None = None
    up: torch.Tensor | None = None

    @classmethod
    def of(cls, layer: Any) -> Summed | None:
        """That of a plain linear layer, or of one with LoRA of the usual kind; None of any other."""
        if is_plain(layer):
            return cls(layer.weight.detach(), layer.bias)
        if not type(layer).__module__.startswith("peft."):  # to import it takes a second
            return None
        from peft.tuners.lora import Linear as Adapted

        usual = type(layer) is Adapted and is_plain(layer.base_layer)
        return _adapted(layer) if usual and not any(map(is_reached, layer.modules())) else None


def is_reached(module: Any) -> bool:
    """Whether someone has a hand in what a module computes, by a hook or a forward of their own.

    What transformers leaves behind once hidden states were asked for changes nothing: its own hooks, or the class's
    forward as an attribute.
    """
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    foreign = any(not getattr(hook, "__module__", "").startswith("transformers.") for hook in hooks)
    forward = module.__dict__.get("forward")
    return foreign or (forward is not None and getattr(forward, "__func__", None) is not type(module).forward)


def is_plain(layer: Any) -> bool:
    """Whether this is a linear layer that computes on the CPU as it was built, from a weight of its own."""
    if type(layer) is not Linear or is_reached(layer) or "forward" in layer.__dict__:
        return False
    return type(layer.weight) in (torch.Tensor, torch.nn.Parameter) and layer.weight.device.type == "cpu"


def _adapted(layer: Any) -> Summed | None:
    """None where it does anything else than to add s B (A x)."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    if name not in layer.lora_A or name in layer.lora_variant or layer.lora_B[name].bias is not None:
        return None
    dropout = layer.lora_dropout[name]
    if dropout.training and not isinstance(dropout, torch.nn.Identity):
        return None
    own = layer.base_layer.weight.detach()
    down = layer.lora_A[name].weight.detach().to(own.dtype)
    up = (layer.lora_B[name].weight.detach() * layer.scaling[name]).to(own.dtype)
    return Summed(own, layer.base_layer.bias, down, up)


def product(layers: Sequence[Summed], rows: int) -> Product:
    """What these layers make of one input, side by side; laid out for `rows` where that is faster.

    Weights that change afterwards are not followed.
    """
    weight = torch.cat([layer.weight for layer in layers]) if len(layers) > 1 else layers[0].weight
    bias = _joined_bias(layers)
    downs = [layer.down for layer in layers if layer.down is not None]
    if not downs:
        return _laid_out(weight, bias, rows)
    ups = [layer.weight.new_empty(len(layer.weight), 0) if layer.up is None else layer.up for layer in layers]
    narrow = _laid_out(torch.cat(downs), None, rows)
    whole = _laid_out(torch.cat([weight, torch.block_diag(*ups)], 1), bias, rows)
    return lambda states: whole(torch.cat([states, narrow(states)], -1))


def _joined_bias(layers: Sequence[Summed]) -> torch.Tensor | None:
    if all(layer.bias is None for layer in layers):
        return None
    parts = [layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias for layer in layers]
    return torch.cat([part.detach() for part in parts])


def lays_out(weight: torch.Tensor) -> bool:
    """Whether the CPU multiplies by a weight like this one in blocks that can be laid out."""
    can = x86_multiplies_bfloat16() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return can and weight.dtype == torch.bfloat16


def _laid_out(weight: torch.Tensor, bias: torch.Tensor | None, rows: int) -> Product:
    if not lays_out(weight):
        return lambda states: torch.nn.functional.linear(states, weight, bias)
    ops: Any = torch.ops.mkldnn
    packed = ops._reorder_linear_weight(weight, rows)
    return lambda states: cast(torch.Tensor, ops._linear_pointwise(states, packed, bias, "none", [], ""))
