"""Tensors that are divided among the processes: of each, every process holds one run of its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rba import parallel


@dataclass(frozen=True)
class Division:
    """What this process holds of tensors, by name, of which the whole ones have `shapes`.

    A tensor is flattened and cut into runs of one length, by rank; the last ones are shorter, or empty.
    """

    shapes: Mapping[str, torch.Size]

    def span(self, name: str) -> slice:
        """The numbers of a flattened tensor that are this process's."""
        rank, length, size = parallel.world().rank, self._length(name), math.prod(self.shapes[name])
        return slice(min(size, rank * length), min(size, (rank + 1) * length))

    def part(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        """This process's part of a whole tensor: flat, and a view where that is contiguous."""
        return whole.reshape(-1)[self.span(name)]

    def summed(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        """This process's part of the sum of all processes' whole tensors, in float32. All processes call it."""
        span, length = self.span(name), self._length(name)
        if parallel.world().size == 1:
            return whole.flatten().float()
        message = _padded(whole.flatten().float(), length * parallel.world().size)
        found = message.new_empty(length)
        with parallel.together():
            _collective("reduce_scatter_single", "reduce_scatter_tensor")(found, message)
        return found[: span.stop - span.start]

    def whole(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """The whole tensor of which each process has its `part`, in all of them. All processes call it."""
        shape, length = self.shapes[name], self._length(name)
        if parallel.world().size == 1:
            return part.view(shape)
        found = part.new_empty(length * parallel.world().size)
        with parallel.together():
            _collective("all_gather_single", "all_gather_into_tensor")(found, _padded(part, length))
        return found[: math.prod(shape)].view(shape)

    def _length(self, name: str) -> int:
        return -(-math.prod(self.shapes[name]) // parallel.world().size)


def _padded(flat: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(flat, (0, length - len(flat)))


def _collective(name: str, older: str) -> Any:
    import torch.distributed as dist

    return getattr(dist, name, None) or getattr(dist, older)
