"""Weights laid out beforehand as the CPU's products read them.

oneDNN multiplies bfloat16 matrices in blocks, and lays a plain weight matrix out in blocks at every call. Where rows
are few, as when a batch draws its next token, that takes up to as long as the product. torch keeps laid-out weights for
compiled models alone, behind two operators that are used here as they are.

An adapter's two thin products take as long as one of the layer's own, so that theirs and their sum are one with it:
W x + s B (A x) = [W, s B] [x; A x].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch.nn import Linear

from rba.lm.number_format import x86_multiplies_bfloat16

MOST = 4 * 2**30
"""Bytes of weights up to which a model's are laid out: they are in memory twice meanwhile."""


class Packed:
    """Within it (`with`) the linear layers of a model multiply by copies of their weights that are laid out for `rows`.

    The numbers are those of the plain layers, to the bit where the product is divided among threads alike; where layers
    carry LoRA, whose sum is rounded once here, up to bfloat16's rounding. Weights that change afterwards are not
    followed, nor is an adapter that is switched on or off.
    """

    def __init__(self, model: torch.nn.Module, rows: int):
        plain = _packable(model)
        adapted = _adapted(model, plain)
        summed = {id(layer.base_layer) for layer in adapted}
        self._forwards = [(layer, _adapted_forward(layer, rows)) for layer in adapted]
        self._forwards += [(layer, _forward(layer, rows)) for layer in plain if id(layer) not in summed]

    def __enter__(self) -> None:
        for layer, forward in self._forwards:
            layer.__dict__["forward"] = forward

    def __exit__(self, *raised: object) -> None:
        for layer, _ in self._forwards:
            layer.__dict__.pop("forward", None)  # gone where another thread draws from the same model


def _packable(model: torch.nn.Module) -> list[Linear]:
    """The plain linear layers of bfloat16 on a CPU that multiplies these in blocks; none of a model beyond `MOST`."""
    if not x86_multiplies_bfloat16() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return []
    layers = [
        layer
        for layer in model.modules()
        if type(layer) is Linear and "forward" not in layer.__dict__ and _plain(layer.weight)
    ]
    size = sum(layer.weight.nbytes for layer in layers)
    return layers if size <= MOST else []


def _plain(weight: torch.Tensor) -> bool:
    known = type(weight) in (torch.Tensor, torch.nn.Parameter)
    return known and weight.device.type == "cpu" and weight.dtype == torch.bfloat16


def _adapted(model: torch.nn.Module, plain: list[Linear]) -> list[Any]:
    """The layers with one LoRA of the usual kind in use, on one of these `plain` layers."""
    from peft.tuners.lora import Linear as Adapted

    packable = {id(layer) for layer in plain}
    adapted = [module for module in model.modules() if type(module) is Adapted and id(module.base_layer) in packable]
    return [layer for layer in adapted if "forward" not in layer.__dict__ and _usual(layer)]


def _usual(layer: Any) -> bool:
    """Whether an adapted layer adds s B (A x) to its own product, and nothing else."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return False
    (name,) = layer.active_adapters
    if name not in layer.lora_A or name in layer.lora_variant or layer.lora_B[name].bias is not None:
        return False
    dropout = layer.lora_dropout[name]
    return isinstance(dropout, torch.nn.Identity) or not dropout.training


def _forward(layer: Linear, rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return _product(layer.weight.detach(), layer.bias, rows)


def _adapted_forward(layer: Any, rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    (name,) = layer.active_adapters
    own = layer.base_layer.weight.detach()
    down = layer.lora_A[name].weight.detach().to(own.dtype)
    up = (layer.lora_B[name].weight.detach() * layer.scaling[name]).to(own.dtype)
    narrow = _product(down, None, rows)
    whole = _product(torch.cat([own, up], 1), layer.base_layer.bias, rows)
    return lambda states: whole(torch.cat([states, narrow(states)], -1))


def _product(weight: torch.Tensor, bias: torch.Tensor | None, rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    ops: Any = torch.ops.mkldnn
    packed = ops._reorder_linear_weight(weight, rows)
    return lambda states: cast(torch.Tensor, ops._linear_pointwise(states, packed, bias, "none", [], ""))
