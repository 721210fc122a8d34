"""A model's linear layers with their weights laid out beforehand, for as long as they are asked to."""

from __future__ import annotations

from typing import Any

import torch

from rba.lm.product import MOST, Summed, is_plain, lays_out, product


class Packed:
    """Within it (`with`) the linear layers of a model multiply by copies of their weights that are laid out for `rows`.

    The numbers are those of the plain layers, to the bit where the product is divided among threads alike; where layers
    carry LoRA, whose sum is rounded once here, up to bfloat16's rounding. Weights that change afterwards are not
    followed, nor is an adapter that is switched on or off. Nothing is done where the CPU has no use for it, nor with a
    model beyond `rba.lm.product.MOST`.
    """

    def __init__(self, model: torch.nn.Module, rows: int):
        self._forwards = [(layer, product([summed], rows)) for layer, summed in _packable(model)]

    def __enter__(self) -> None:
        for layer, forward in self._forwards:
            layer.__dict__["forward"] = forward

    def __exit__(self, *raised: object) -> None:
        for layer, _ in self._forwards:
            layer.__dict__.pop("forward", None)  # gone where another thread draws from the same model


def _packable(model: torch.nn.Module) -> list[tuple[Any, Summed]]:
    """The layers that gain by it, an adapted one in place of the layer within it."""
    modules: list[Any] = list(model.modules())
    plain = [layer for layer in modules if is_plain(layer) and lays_out(layer.weight)]
    if sum(layer.weight.nbytes for layer in plain) > MOST:
        return []
    within = {id(layer) for layer in plain}
    carriers = [module for module in modules if id(getattr(module, "base_layer", None)) in within]
    layers = [(layer, summed) for layer in [*carriers, *plain] if (summed := Summed.of(layer))]
    replaced = {id(layer.base_layer) for layer, _ in layers if hasattr(layer, "base_layer")}
    return [(layer, summed) for layer, summed in layers if id(layer) not in replaced]
