"""One more token for every row of a batch, by blocks whose operations are joined."""

from __future__ import annotations

from typing import Any, cast

import torch
from transformers import DynamicCache

from rba.lm.cache import take_rows
from rba.lm.head import vocabulary_head
from rba.lm.llama_block import Block, blocks
from rba.lm.product import MOST, Summed, product
from rba.lm.scoring import backbone


class Fused:
    """Each step passes through copies of a model's blocks; the `cache` is one of groups (`rba.lm.grouped`).

    `position_B` [B] is that of each row's last token. Weights that change afterwards are not followed.
    """

    compact_at = 0.8
    """As `rba.lm.stepwise.Stepwise`'s."""

    def __init__(self, model: Any, blocks: list[Block], cache: DynamicCache, position_B: torch.Tensor):
        self._decoder, self._blocks, self._head = backbone(model), blocks, vocabulary_head(model)
        if summed := Summed.of(self._head):
            self._head = product([summed], len(position_B))
        self._cache, self._position_B = cache, position_B

    @classmethod
    def of(cls, model: Any, cache: DynamicCache, position_B: torch.Tensor) -> Fused | None:
        """None where the model's blocks are none that `rba.lm.llama_block` can copy."""
        room = MOST - sum(weight.nbytes for weight in vocabulary_head(model).parameters())
        copied = blocks(backbone(model), len(position_B), room)
        return cls(model, copied, cache, position_B) if copied else None

    def logits(self, token_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] (float32) of what follows these tokens."""
        self._position_B = self._position_B + 1
        narrow_BD = self._decoder.embed_tokens(token_B)
        cos_B1D, sin_B1D = self._decoder.rotary_emb(narrow_BD[:, None], self._position_B[:, None])
        states_BD = narrow_BD.to(torch.promote_types(narrow_BD.dtype, torch.float32), copy=True)
        turn = (cos_B1D.to(states_BD.dtype), sin_B1D.to(states_BD.dtype))
        layers: list[Any] = self._cache.layers
        for block, kept in zip(self._blocks, layers):
            block(states_BD, turn, kept, narrow_BD.dtype)
        return cast(torch.Tensor, self._head(self._decoder.norm(states_BD.to(narrow_BD.dtype))).float())

    def keep(self, index_B: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self._position_B = self._position_B[index_B]
        take_rows(self._cache, index_B)
