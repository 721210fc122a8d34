"""Caches of keys and values: for decoding, with room behind them; for scoring, to be read.

For decoding transformers' own joins old and new at every token: it copies all that is kept to add one step, which in
long answers of many rows moves as much memory as the model's weights are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 16  # tokens


class Room:
    """Memory [B, H, T + room, D] of which the first T steps are in use."""

    def __init__(self) -> None:
        self._all: torch.Tensor | None = None
        self._used: torch.Tensor | None = None

    def append(self, kept_BHTD: torch.Tensor, new_BHND: torch.Tensor) -> torch.Tensor:
        """`kept_BHTD` with `new_BHND` behind it; nothing is copied where `kept_BHTD` came from here and fits."""
        start = kept_BHTD.shape[-2] if kept_BHTD.numel() else 0
        end = start + new_BHND.shape[-2]
        if self._all is None or kept_BHTD is not self._used or end > self._all.shape[-2]:
            batch, heads, _, width = new_BHND.shape
            self._all = new_BHND.new_empty(batch, heads, end + ROOM, width)
            if start:
                self._all[:, :, :start] = kept_BHTD
        self._all[:, :, start:end] = new_BHND
        self._used = self._all[:, :, :end]
        return self._used


class RoomyLayer(DynamicLayer):
    """The keys and values of one layer: views of memory with room. Whatever replaces a view is copied once."""

    def __init__(self) -> None:
        super().__init__()
        self._keys, self._values = Room(), Room()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values [B, H, T, D], the new ones last."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        self.keys = self._keys.append(self.keys, key_states)
        self.values = self._values.append(self.values, value_states)
        return self.keys, self.values


class ReadLayer(DynamicLayer):
    """Keys and values [B, H, T, D] that a pass reads and leaves as they are, though it sees its own behind them."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values [B, H, T, D], the new ones last; they are not kept."""
        assert self.keys is not None and self.values is not None
        return torch.cat([self.keys, key_states], -2), torch.cat([self.values, value_states], -2)


def read_cache(memory: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> DynamicCache:
    """A cache of `ReadLayer`s: the keys and values of all layers, of which a pass keeps none of its own.

    They would stay until its end, of all layers at once; a block needs those of its own alone.
    """
    cache = DynamicCache()
    cache.layers = [ReadLayer(keys, values) for keys, values in memory]
    return cache


def roomy_cache(config: Any) -> DynamicCache:
    """An empty cache for a model's configuration; layers that keep more than keys and values stay as they are."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def take_rows(cache: Any, index_B: torch.Tensor) -> None:
    """Have a cache of a batch be of the rows [B] of it, each as often as it is named."""
    # layers with recurrent states know this way of choosing rows and no other
    cache.reorder_cache(index_B)
