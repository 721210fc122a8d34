"""Float32 masters of weights that are trained in half precision.

An update is far smaller than half a step of bfloat16: added to the weight itself it would be lost. The optimiser moves
the master, and the weight is the master, rounded. Weights in float32 are their own masters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch


class Masters:
    """What the optimiser moves in place of `parameters`: `weights`, by the same names."""

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter]):
        self._rounded = {name: p for name, p in parameters.items() if p.dtype != torch.float32}
        copies = {name: torch.nn.Parameter(p.detach().float()) for name, p in self._rounded.items()}
        self.weights: dict[str, torch.nn.Parameter] = {name: copies.get(name, p) for name, p in parameters.items()}

    def take(self) -> None:
        """Take over the gradients, in float32; the weights' own are gone."""
        for name, parameter in self._rounded.items():
            self.weights[name].grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None

    @torch.no_grad()
    def give(self) -> None:
        """Round the masters into the weights."""
        for name, parameter in self._rounded.items():
            parameter.copy_(self.weights[name])
