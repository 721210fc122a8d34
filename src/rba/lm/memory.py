"""What one block of a decoder sees of a cache: the keys and values before it, and its own behind them."""

from __future__ import annotations

from typing import Any

import torch

from rba.lm.cache import ReadLayer


class Memory:
    """The keys and values of one layer as plain tensors, which can be inputs and outputs of its block.

    It takes the place of a cache in the block's call. Made for layers that keep all that was.
    """

    def __init__(self, keys: torch.Tensor | None = None, values: torch.Tensor | None = None, layer: Any = None):
        self.keys, self.values, self._layer = keys, values, layer

    @classmethod
    def of(cls, layer: Any) -> Memory:
        """What a cache's `layer` holds now, to be stored there."""
        return cls(layer.keys, layer.values, layer) if layer.is_initialized else cls(layer=layer)

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

    def store(self) -> None:
        """Leave the keys and values in the cache that they are of, if there is one that keeps them."""
        layer = self._layer
        if layer is None or isinstance(layer, ReadLayer):
            return
        if not layer.is_initialized:
            layer.lazy_initialization(self.keys, self.values)
        layer.keys, layer.values = self.keys, self.values
