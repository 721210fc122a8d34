"""Weights laid out beforehand as the CPU's products read them.

oneDNN multiplies bfloat16 matrices in blocks, and lays a plain weight matrix out in blocks at every call. Where rows
are few, as when a batch draws its next token, that takes up to as long as the product. torch keeps laid-out weights for
compiled models alone, behind two operators that are used here as they are.
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

    The numbers are those of the plain layers, to the bit where the product is divided among threads alike. Weights that
    change afterwards are not followed.
    """

    def __init__(self, model: torch.nn.Module, rows: int):
        self._forwards = [(layer, _forward(layer, rows)) for layer in _packable(model)]

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


def _forward(layer: Linear, rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    ops: Any = torch.ops.mkldnn
    weight = ops._reorder_linear_weight(layer.weight.detach(), rows)

    def forward(states: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, ops._linear_pointwise(states, weight, layer.bias, "none", [], ""))

    return forward
