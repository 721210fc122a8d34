"""One more token for every row of a batch, by a forward pass of the model's own."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import DynamicCache

from rba.lm.cache import take_rows
from rba.lm.head import vocabulary_head
from rba.lm.scoring import backbone


def one_pass(
    decoder: Any, head: Any, token_B: torch.Tensor, mask: torch.Tensor, position_B: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    """Logits [B, V] (float32) of what follows these tokens; the `cache` takes their keys and values."""
    states_B1D = decoder(
        input_ids=token_B[:, None],
        attention_mask=mask,
        position_ids=position_B[:, None],
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    # a contiguous matrix: on a strided [B, 1, D] slice the CPU's linear copies the whole head once a row
    return head(states_B1D[:, 0].contiguous()).float()


class Stepwise:
    """Each step is a forward pass of its own, which lengthens the `cache`.

    `mask_BT` [B, T] says which positions of the cache are real, `position_B` [B] is that of each row's last token.
    Passes are made within `weights`.
    """

    compact_at = 0.8
    """The share of live rows below which it pays to leave out the others."""

    def __init__(
        self,
        model: Any,
        cache: DynamicCache,
        mask_BT: torch.Tensor,
        position_B: torch.Tensor,
        weights: AbstractContextManager[None] | None = None,
    ):
        self._decoder, self._head = backbone(model), vocabulary_head(model)
        self._cache, self._mask_BT, self._position_B = cache, mask_BT, position_B
        self._weights = weights or nullcontext()

    def logits(self, token_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] (float32) of what follows these tokens."""
        self._mask_BT = torch.cat([self._mask_BT, self._mask_BT.new_ones(len(token_B), 1)], 1)
        self._position_B = self._position_B + 1
        with self._weights:
            return one_pass(self._decoder, self._head, token_B, self._mask_BT, self._position_B, self._cache)

    def keep(self, index_B: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self._mask_BT, self._position_B = self._mask_BT[index_B], self._position_B[index_B]
        take_rows(self._cache, index_B)
