"""What comes after the prompts: the logits of one more token for every row of a batch, again and again.

On a GPU a small step is a thousand kernels that take longer to start than to run. There a step is recorded once as a
CUDA graph and replayed. A graph's tensors never move or grow, so keys and values get all the room that they will need
from the start, and a mask says which of it is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from rba.lm.cache import RoomyLayer
from rba.lm.head import vocabulary_head
from rba.lm.load import TextLM
from rba.lm.quantization import NONE
from rba.lm.scoring import backbone
from rba.lm.sharding import Whole

WORTH = 16
"""Steps from which recording one is worth its time, that of some three steps."""
ALIGNED = 8
"""Masks of other widths cannot be read by the fast attention kernels."""

Step = Callable[[], torch.Tensor]


class Stepwise:
    """Each step is a forward pass of its own, which lengthens the `cache`.

    `mask_BT` [B, T] says which positions of the cache are real, `position_B` [B] is that of each row's last token.
    """

    compact_at = 0.8
    """The share of live rows below which it pays to leave out the others."""

    def __init__(self, model: Any, cache: DynamicCache, mask_BT: torch.Tensor, position_B: torch.Tensor):
        self._decoder, self._head = backbone(model), vocabulary_head(model)
        self._cache, self._mask_BT, self._position_B = cache, mask_BT, position_B

    def logits(self, token_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] (float32) of what follows these tokens."""
        self._mask_BT = torch.cat([self._mask_BT, self._mask_BT.new_ones(len(token_B), 1)], 1)
        self._position_B = self._position_B + 1
        states_B1D = self._decoder(
            input_ids=token_B[:, None],
            attention_mask=self._mask_BT,
            position_ids=self._position_B[:, None],
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        # a contiguous matrix: on a strided [B, 1, D] slice the CPU's linear copies the whole head once a row
        return self._head(states_B1D[:, 0].contiguous()).float()

    def keep(self, index_B: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self._mask_BT, self._position_B = self._mask_BT[index_B], self._position_B[index_B]
        self._cache.batch_select_indices(index_B)


class FixedLayer(DynamicLayer):
    """The keys and values [B, H, W, D] of one layer, all of them returned; new ones are written where `at_1` says."""

    def __init__(self, layer: Any, width: int, at_1: torch.Tensor):
        super().__init__()
        self.at_1 = at_1
        self.lazy_initialization(layer.keys, layer.values)
        self.keys, self.values = _widened(layer.keys, width), _widened(layer.values, width)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, those of one more position [B, H, 1, D] among them."""
        assert self.keys is not None and self.values is not None
        self.keys.index_copy_(2, self.at_1, key_states)
        self.values.index_copy_(2, self.at_1, value_states)
        return self.keys, self.values


def _widened(kept_BHTD: torch.Tensor, width: int) -> torch.Tensor:
    batch, heads, length, size = kept_BHTD.shape
    # zeros: what a mask hides is multiplied by 0, which leaves nothing of a number and anything of a NaN
    wide_BHWD = kept_BHTD.new_zeros(batch, heads, width, size)
    wide_BHWD[:, :, :length] = kept_BHTD
    return wide_BHWD


class Replayed:
    """The same, with one pass that `record` makes repeatable, for up to `steps` steps; the `cache` stays as it is.

    Raises what `record` raises.
    """

    compact_at = 0.5  # fewer rows are another recording

    def __init__(
        self,
        model: Any,
        cache: DynamicCache,
        mask_BT: torch.Tensor,
        position_B: torch.Tensor,
        steps: int,
        record: Callable[[Step], Step],
    ):
        self._decoder, self._head, self._record = backbone(model), vocabulary_head(model), record
        batch, length = mask_BT.shape
        width = -(-(length + steps) // ALIGNED) * ALIGNED
        self._at_1 = torch.tensor([length], device=mask_BT.device)
        self._used_BW = torch.zeros(batch, width, dtype=torch.bool, device=mask_BT.device)
        self._used_BW[:, :length] = mask_BT.bool()
        self._position_B = position_B.clone()
        self._token_B = torch.zeros_like(position_B)
        self._cache = DynamicCache()
        self._cache.layers = [FixedLayer(layer, width, self._at_1) for layer in cache.layers]
        self._replay: Step | None = record(self._step)

    def logits(self, token_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] (float32) of what follows these tokens; the next call overwrites them."""
        self._token_B.copy_(token_B)
        self._position_B += 1
        self._used_BW.index_fill_(1, self._at_1, True)
        if self._replay is None:
            self._replay = self._record(self._step)
        logits_BV = self._replay()
        self._at_1 += 1
        return logits_BV

    def keep(self, index_B: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self._replay = None  # it holds memory
        self._used_BW, self._position_B = self._used_BW[index_B], self._position_B[index_B]
        self._token_B = self._token_B[index_B]
        self._cache.batch_select_indices(index_B)

    def _step(self) -> torch.Tensor:
        """A pass that reads and writes the same tensors every time; made twice, it leaves what it left once."""
        states_B1D = self._decoder(
            input_ids=self._token_B[:, None],
            attention_mask=self._used_BW[:, None, None],
            position_ids=self._position_B[:, None],
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        return self._head(states_B1D[:, 0].contiguous()).float()


Decoding = Stepwise | Replayed
_WAITING: set[type] = set()
"""Classes of decoders that no graph could be recorded of."""


def begin(lm: TextLM, cache: DynamicCache, mask_BT: torch.Tensor, position_B: torch.Tensor, steps: int) -> Decoding:
    """Up to `steps` steps behind the `cache`, which is theirs, in the fastest way that LLM and device allow."""
    kind = type(backbone(lm.model))
    if steps >= WORTH and kind not in _WAITING and repeatable(lm, cache):
        try:
            decoding = Replayed(lm.model, cache, mask_BT, position_B, steps, graph)
            cache.layers.clear()  # it has been copied
            return decoding
        except torch.OutOfMemoryError:
            pass  # the other way needs no room beforehand
        except RuntimeError:
            _WAITING.add(kind)
    return Stepwise(lm.model, cache, mask_BT, position_B)


def repeatable(lm: TextLM, cache: DynamicCache) -> bool:
    """Whether a step can be `Replayed`: on a GPU, of whole plain weights and layers that see all that is kept."""
    plain = lm.device.type == "cuda" and type(lm.weights) is Whole and lm.quantize == NONE
    attention = getattr(lm.model.config.get_text_config(), "_attn_implementation", "")
    return plain and attention == "sdpa" and all(type(layer) is RoomyLayer for layer in cache.layers)


def graph(step: Step) -> Step:
    """`step` recorded as a CUDA graph. Raises RuntimeError where it waits for the GPU, as some experts do."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()  # libraries set themselves up
        usual = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")  # a recording that fails leaves the random state unusable
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode(usual)
    torch.cuda.current_stream().wait_stream(aside)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        out = step()

    def replay() -> torch.Tensor:
        recorded.replay()
        return out

    return replay
