"""What comes after the prompts: the logits of one more token for every row of a batch, again and again.

There are three ways: by passes of the model's own, on a GPU by one that is replayed, on a CPU by blocks whose
operations are joined.
"""

from __future__ import annotations

import warnings
from functools import partial

import torch
from transformers import DynamicCache

from rba.lm.cache import take_rows
from rba.lm.fused import Fused
from rba.lm.grouped import group, groupable, ungroup
from rba.lm.load import TextLM
from rba.lm.packing import Packed
from rba.lm.replay import NotRecorded, Replayed, graph, repeatable
from rba.lm.scoring import backbone
from rba.lm.stepwise import Stepwise

WORTH = 16
"""Steps from which recording one is worth its time, that of some three steps; laying weights out takes one to five."""

_REFUSED: dict[type, str] = {}
"""Why no step can be recorded, by the class of the decoder."""
_APART: set[type] = set()
"""Classes of decoders to which keys and values by groups are no use."""


class Decoding:
    """Up to `steps` steps of `answers` to each prompt in the `cache`, in the fastest way of the LLM and its device.

    The `cache` is theirs from now on. `mask_PT` [P, T] says which positions of the prompts are real, `position_P` [P]
    is that of each prompt's last token.
    """

    def __init__(
        self,
        lm: TextLM,
        cache: DynamicCache,
        mask_PT: torch.Tensor,
        position_P: torch.Tensor,
        steps: int,
        answers: int = 1,
    ):
        self._kind, self._device = type(backbone(lm.model)), lm.device
        replayed = steps >= WORTH and self._kind not in _REFUSED and repeatable(lm, cache)
        grouped = not replayed and self._kind not in _APART and groupable(lm.model, cache, lm.device)
        self._grouped = cache if grouped else None
        if grouped:
            group(cache, mask_PT, answers)
        elif answers > 1:
            take_rows(cache, torch.arange(len(mask_PT), device=lm.device).repeat_interleave(answers))
        mask_BT, position_B = (each.repeat_interleave(answers, 0) for each in (mask_PT, position_P))
        fused = Fused.of(lm.model, cache, position_B) if grouped and steps >= WORTH else None
        self.way: Stepwise | Fused | Replayed
        if replayed:
            record = partial(graph, device=lm.device)
            self.way = Replayed(lm.model, cache, mask_BT, position_B, steps, record)
        elif fused:
            self.way = fused
        else:
            weights = Packed(lm.model, len(mask_BT)) if steps >= WORTH else None
            self.way = Stepwise(lm.model, cache, mask_BT, position_B, weights)

    def logits(self, token_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] (float32) of what follows these tokens; the next call may overwrite them."""
        try:
            logits_BV = self.way.logits(token_B)
        except NotRecorded as refusal:
            assert isinstance(self.way, Replayed)
            if refusal.lasting and self._kind not in _REFUSED:
                _REFUSED[self._kind] = str(refusal)
                warnings.warn(f"{self._kind.__name__} draws step by step, not by a CUDA graph: {refusal}", stacklevel=2)
            self.way = self.way.stepwise()
            return self.way.logits(token_B)
        if self._grouped and ungroup(self._grouped):
            _APART.add(self._kind)
            self._grouped = None
        return logits_BV

    def compact(self, live: list[int], count: int) -> torch.Tensor | None:
        """Leave out the rows that are not `live`, of `count` in the batch, once it pays; which ones stayed, if so."""
        if len(live) >= self.way.compact_at * count:
            return None
        index_B = torch.tensor(live, device=self._device)
        self.way.keep(index_B)
        return index_B
