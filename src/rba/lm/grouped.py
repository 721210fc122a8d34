"""Keys and values for decoding on the CPU, where the rows of a batch come in groups: the answers to one prompt each.

A step's attention reads all that is kept and does little with it. So a prompt stands there once for all its answers,
the keys lie as the product with the queries reads them, and all is float32, in which small products are fastest and
scores are as exact as `rba.lm.attention` wants them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map_only
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from rba.lm.attention import added
from rba.lm.cache import RoomyLayer

ROOM = 64  # tokens


@dataclass(frozen=True, eq=False)
class Groups:
    """Where the rows [B] of a batch stand: `most` places for each of P prompts, some of them empty.

    `place_B` is None where all are taken, in order. `hidden_P11T` is added to the scores of the prompts' tokens.
    """

    prompt_B: torch.Tensor
    most: int
    place_B: torch.Tensor | None
    hidden_P11T: torch.Tensor

    @classmethod
    def of(cls, prompt_B: torch.Tensor, hidden_P11T: torch.Tensor) -> Groups:
        """For rows that answer these prompts, by number, in order, each of which has a row."""
        count_P = torch.bincount(prompt_B)
        most = int(count_P.max())
        if int(count_P.min()) == most:
            return cls(prompt_B, most, None, hidden_P11T)
        first_P = count_P.cumsum(0) - count_P
        place_B = prompt_B * most + torch.arange(len(prompt_B)) - first_P[prompt_B]
        return cls(prompt_B, most, place_B, hidden_P11T)

    def keep(self, index_B: torch.Tensor) -> tuple[Groups, torch.Tensor]:
        """These rows alone, which stay in order, and which prompts they answer."""
        kept_P, prompt_B = self.prompt_B[index_B].unique_consecutive(return_inverse=True)
        return Groups.of(prompt_B, self.hidden_P11T[kept_P]), kept_P

    def spread(self, rows_BGX: torch.Tensor) -> torch.Tensor:
        """What each row has, by head, at its place: [P, G, M, ...]; zeros where a place is empty."""
        if self.place_B is not None:
            places = rows_BGX.new_zeros(len(self.hidden_P11T) * self.most, *rows_BGX.shape[1:])
            rows_BGX = places.index_copy_(0, self.place_B, rows_BGX)
        return rows_BGX.unflatten(0, (-1, self.most)).transpose(1, 2)

    def gather(self, places_PGMX: torch.Tensor) -> torch.Tensor:
        """The same back again: [B, G, ...]."""
        rows = places_PGMX.transpose(1, 2).flatten(0, 1)
        return rows if self.place_B is None else rows[self.place_B]


class GroupedLayer(DynamicLayer):
    """One layer's: of the prompts [P, G, T, D], and behind them of the answers, which have one place each."""

    def __init__(self, keys_PGTD: torch.Tensor, values_PGTD: torch.Tensor, groups: Groups):
        super().__init__()
        self.lazy_initialization(keys_PGTD, values_PGTD)
        self.groups, self._own = groups, 0
        self.asked = False  # for its keys or values as a tensor
        wide = torch.promote_types(keys_PGTD.dtype, torch.float32)
        self._keys_PGDT = keys_PGTD.transpose(-1, -2).to(wide, memory_format=torch.contiguous_format)
        self._values_PGTD = values_PGTD.to(wide, memory_format=torch.contiguous_format)
        places = (*keys_PGTD.shape[:2], groups.most)
        # a token's key is written to one place: laid out as the prompts' are, it would be to as many as it has numbers
        self._own_keys = self._keys_PGDT.new_zeros(*places, ROOM, keys_PGTD.shape[-1])
        self._own_values = self._values_PGTD.new_zeros(*places, ROOM, values_PGTD.shape[-1])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        """All keys and values, those of one more token [B, G, 1, D] of every answer last, `Kept` as they are."""
        self.append(key_states[:, :, 0], value_states[:, :, 0])
        return Kept(self, self.all_keys), Kept(self, self.all_values)

    def append(self, key_BGD: torch.Tensor, value_BGD: torch.Tensor) -> None:
        """Keep one more token of every answer."""
        if self._own == self._own_keys.shape[-2]:
            self._own_keys = torch.nn.functional.pad(self._own_keys, (0, 0, 0, ROOM))
            self._own_values = torch.nn.functional.pad(self._own_values, (0, 0, 0, ROOM))
        self._own_keys[..., self._own, :] = self.groups.spread(key_BGD)
        self._own_values[..., self._own, :] = self.groups.spread(value_BGD)
        self._own += 1

    def attend(self, query_BHD: torch.Tensor, scale: float) -> torch.Tensor:
        """softmax(`scale` q k') v, [B, H, D], of one query a row; H / G neighbouring heads read the same keys."""
        groups, length = self.groups, self._keys_PGDT.shape[-1]
        query = query_BHD.unflatten(1, (self._keys_PGDT.shape[1], -1)).to(self._keys_PGDT.dtype) * scale
        query_PGMQD = groups.spread(query).contiguous()
        shape = query_PGMQD.shape[:-1]
        before = query_PGMQD.flatten(2, 3) @ self._keys_PGDT
        own = query_PGMQD @ self._own_keys[..., : self._own, :].transpose(-1, -2)
        scores = torch.cat([before.add_(groups.hidden_P11T).view(*shape, length), own], -1)
        weights = torch.softmax(scores, -1)
        mixed = (weights[..., :length].flatten(2, 3) @ self._values_PGTD).view(*shape, -1)
        mixed += weights[..., length:] @ self._own_values[..., : self._own, :]
        return groups.gather(mixed).flatten(1, 2)

    def all_keys(self) -> torch.Tensor:
        """All keys [B, G, T, D], as other layers keep them."""
        return self._whole(self._keys_PGDT.transpose(-1, -2), self._own_keys)

    def all_values(self) -> torch.Tensor:
        """All values [B, G, T, D], as other layers keep them."""
        return self._whole(self._values_PGTD, self._own_values)

    def _whole(self, before_PGTD: torch.Tensor, own_PGMWD: torch.Tensor) -> torch.Tensor:
        own_BGND = self.groups.gather(own_PGMWD[..., : self._own, :])
        return torch.cat([before_PGTD[self.groups.prompt_B], own_BGND], -2).to(self.dtype)

    def get_seq_length(self) -> int:
        """Tokens of a row, pads included."""
        return self._keys_PGDT.shape[-1] + self._own

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Go on with these rows alone, which stay in order, and with the prompts that they answer."""
        before, (self.groups, kept_P) = self.groups, self.groups.keep(beam_idx)
        self._keys_PGDT, self._values_PGTD = self._keys_PGDT[kept_P], self._values_PGTD[kept_P]
        self._own_keys, self._own_values = (
            self.groups.spread(before.gather(own)[beam_idx]).contiguous() for own in (self._own_keys, self._own_values)
        )


class Kept:
    """All keys, or all values, of a `GroupedLayer`, which are put together only where something asks for a tensor."""

    def __init__(self, layer: GroupedLayer, all_of_them: Callable[[], torch.Tensor]):
        self.layer, self._all_of_them = layer, all_of_them

    def whole(self) -> torch.Tensor:
        """The tensor [B, G, T, D]."""
        self.layer.asked = True
        return self._all_of_them()

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Give torch's functions the tensor."""
        args, kwargs = tree_map_only(cls, cls.whole, (args, kwargs or {}))
        return function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole(), name)


def _operator(name: str) -> Callable[..., Any]:
    """A method that Python looks up in the class alone."""
    return lambda kept, *args: getattr(kept.whole(), name)(*args)


for _name in ("getitem", "len", "neg", "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "matmul"):
    setattr(Kept, f"__{_name}__", _operator(f"__{_name}__"))


def is_grouped(query: torch.Tensor, key: Any, value: Any, mask: torch.Tensor | None) -> bool:
    """Whether attention is asked of a `GroupedLayer` as it is: one token a row, no other values, no mask a head."""
    kept = isinstance(key, Kept) and isinstance(value, Kept) and value.layer is key.layer
    return kept and query.ndim == 4 and query.shape[2] == 1 and (mask is None or mask.shape[1:2] == (1,))


def groupable(model: Any, cache: DynamicCache, device: torch.device) -> bool:
    """Whether decoding may keep its keys and values by groups: layers see all that is kept, on a CPU."""
    attention = getattr(model.config.get_text_config(), "_attn_implementation", "")
    return device.type == "cpu" and attention == "sdpa" and all(type(layer) is RoomyLayer for layer in cache.layers)


def group(cache: DynamicCache, mask_PT: torch.Tensor, size: int) -> None:
    """Have the cache of a batch of prompts, with this mask (1 = real), be one of `size` answers to each."""
    prompt_B = torch.arange(len(mask_PT)).repeat_interleave(size)
    groups = Groups.of(prompt_B, added(mask_PT.bool()[:, None, None]))
    layers: list[Any] = cache.layers
    for number, layer in enumerate(layers):  # one by one: no more than one of them is held twice
        layers[number] = GroupedLayer(layer.keys, layer.values, groups)


def ungroup(cache: DynamicCache) -> bool:
    """Have the cache be one of rows by themselves if one of its layers was asked for a tensor; whether it was.

    Attention that is a model's own puts all together at every step, which takes longer than groups save.
    """
    layers: list[Any] = cache.layers
    if not any(layer.asked for layer in layers):
        return False
    for number, layer in enumerate(layers):
        layers[number] = RoomyLayer()
        layers[number].update(layer.all_keys(), layer.all_values())
    return True
