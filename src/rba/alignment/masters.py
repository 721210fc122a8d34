"""Float32 masters of what is trained: what the optimiser moves, and its way from the gradients and to the weights.

An update is far smaller than half a step of bfloat16: added to the weight itself it would be lost. The optimiser moves
the master, and the weight is the master, rounded. Weights in float32 are their own masters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from rba import parallel
from rba.division import Division


class Masters:
    """What the optimiser moves in place of `parameters`: `weights`, by the same names. Here each process has all."""

    division: Division | None = None
    """How `weights` are divided among the processes, where they are."""

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter]):
        self._parameters = dict(parameters)
        self._rounded = {name: p for name, p in parameters.items() if p.dtype != torch.float32}
        copies = {name: torch.nn.Parameter(p.detach().float()) for name, p in self._rounded.items()}
        self.weights: dict[str, torch.nn.Parameter] = {name: copies.get(name, p) for name, p in parameters.items()}

    def sum(self) -> None:
        """Sum the gradients over all processes; one without any stays without."""
        parallel.sum_gradients(list(self._parameters.values()))

    def clip(self, names: Sequence[str], most: float) -> float:
        """Clip the norm of the summed gradients of `names` to `most`; what it was."""
        return float(torch.nn.utils.clip_grad_norm_([self._parameters[name] for name in names], most))

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


class DividedMasters(Masters):
    """Here each process has its part of every master, and with it of the optimiser's moments; all call alike."""

    division: Division

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter]):
        self._parameters = dict(parameters)
        self.division = Division({name: p.shape for name, p in parameters.items()})
        # of a float32 weight the part is a view, which takes no memory of its own
        parts = {name: self.division.part(name, p.detach()).float() for name, p in parameters.items()}
        self.weights = {name: torch.nn.Parameter(part) for name, part in parts.items()}

    def sum(self) -> None:
        """As `Masters.sum`; every process gets its part, as the masters' gradient, and the weights' own are gone."""
        had = parallel.gathered([p.grad is not None for p in self._parameters.values()])
        for (name, parameter), anywhere in zip(self._parameters.items(), map(any, zip(*had))):
            grad, parameter.grad = parameter.grad, None
            if anywhere:
                whole = torch.zeros_like(parameter) if grad is None else grad
                self.weights[name].grad = self.division.summed(name, whole)

    def clip(self, names: Sequence[str], most: float) -> float:
        """As `Masters.clip`: the norm is over the parts of all processes."""
        grads = [grad for name in names if (grad := self.weights[name].grad) is not None]
        square = float(torch.stack([g.square().sum() for g in grads]).sum()) if grads else 0.0
        norm = math.sqrt(sum(parallel.gathered(square)))
        for grad in grads:
            grad.mul_(min(1.0, most / (norm + 1e-6)))
        return norm

    def take(self) -> None:
        """Nothing to do: `sum` has left the gradients where the optimiser reads them."""

    @torch.no_grad()
    def give(self) -> None:
        """Round the masters into the weights, which are whole in every process."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self.division.whole(name, self.weights[name].detach().to(parameter.dtype)))
