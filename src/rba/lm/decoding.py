"""What comes after the prompts: the logits of one more token for every row of a batch, again and again.

On a GPU a small step is a thousand kernels that take longer to start than to run. There a step is recorded once as a
CUDA graph and replayed. A graph's tensors never move or grow, so keys and values get room before it is used, and a mask
says which of it is in use; where it runs out, or many rows have ended, the step is recorded anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from rba.lm.cache import RoomyLayer, roomy_cache, take_rows
from rba.lm.grouped import group, groupable, ungroup
from rba.lm.head import vocabulary_head
from rba.lm.load import TextLM
from rba.lm.packing import Packed
from rba.lm.quantization import NONE
from rba.lm.scoring import backbone
from rba.lm.sharding import Whole

WORTH = 16
"""Steps from which recording one is worth its time, that of some three steps; laying weights out takes one or two."""
ROOM = 256
"""Tokens that a recording has room for: attention passes over all of it, in use or not."""
ALIGNED = 8
"""Masks of other widths cannot be read by the fast attention kernels."""

Step = Callable[[], torch.Tensor]


class NotRecorded(Exception):
    """A step cannot be recorded; `lasting` where no other step of the model can be either."""

    def __init__(self, reason: str, lasting: bool):
        super().__init__(reason)
        self.lasting = lasting


def _pass(
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
            return _pass(self._decoder, self._head, token_B, self._mask_BT, self._position_B, self._cache)

    def keep(self, index_B: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self._mask_BT, self._position_B = self._mask_BT[index_B], self._position_B[index_B]
        take_rows(self._cache, index_B)


class FixedLayer(DynamicLayer):
    """The keys and values [B, H, W, D] of one layer, all of them returned; new ones are written where `at_1` says."""

    def __init__(self, layer: Any, length: int, width: int, at_1: torch.Tensor):
        super().__init__()
        self.at_1 = at_1
        self.lazy_initialization(layer.keys, layer.values)
        self.keys, self.values = _widened(layer.keys, length, width), _widened(layer.values, length, width)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, those of one more position [B, H, 1, D] among them."""
        assert self.keys is not None and self.values is not None
        self.keys.index_copy_(2, self.at_1, key_states)
        self.values.index_copy_(2, self.at_1, value_states)
        return self.keys, self.values


def _widened(kept_BHTD: torch.Tensor, length: int, width: int) -> torch.Tensor:
    """The first `length` positions, and zeros up to `width`."""
    batch, heads, _, size = kept_BHTD.shape
    # zeros: what a mask hides is multiplied by 0, which leaves nothing of a number and anything of a NaN
    wide_BHWD = kept_BHTD.new_zeros(batch, heads, width, size)
    wide_BHWD[:, :, :length] = kept_BHTD[:, :, :length]
    return wide_BHWD


class Replayed:
    """The same, with one pass that `record` makes repeatable, for up to `steps` steps; the `cache` is emptied.

    Raises NotRecorded where `record` does; `stepwise` goes on from there.
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
        self._model, self._record = model, record
        self._decoder, self._head = backbone(model), vocabulary_head(model)
        self._length = mask_BT.shape[1]
        self._end = self._length + steps
        self._at_1 = torch.tensor([self._length], device=mask_BT.device)
        self._used_BW, self._position_B = mask_BT.bool(), position_B.clone()
        self._token_B = torch.zeros_like(position_B)
        self._layers: list[Any] = cache.layers
        self._replay: Step | None = None

    def logits(self, token_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] (float32) of what follows these tokens; the next call overwrites them."""
        if self._length == self._used_BW.shape[1]:
            self._make_room()
        if self._replay is None:
            self._replay = self._record(self._step)
        self._token_B.copy_(token_B)
        self._position_B += 1
        self._used_BW.index_fill_(1, self._at_1, True)
        logits_BV = self._replay()
        self._at_1 += 1
        self._length += 1
        return logits_BV

    def keep(self, index_B: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self._replay = None  # it holds memory
        self._used_BW, self._position_B = self._used_BW[index_B], self._position_B[index_B]
        self._token_B = self._token_B[index_B]
        for layer in self._layers:
            layer.batch_select_indices(index_B)

    def stepwise(self) -> Stepwise:
        """The same rows from here on, step by step."""
        self._replay, cache = None, roomy_cache(self._model.config)
        for number, fixed in enumerate(self._layers):
            cache.update(fixed.keys[:, :, : self._length], fixed.values[:, :, : self._length], number)
        return Stepwise(self._model, cache, self._used_BW[:, : self._length].long(), self._position_B)

    def _make_room(self) -> None:
        """Room for the tokens to come, layer by layer: no more than one of them is held twice."""
        self._replay = None
        width = -(-min(self._end, self._length + ROOM) // ALIGNED) * ALIGNED
        try:
            for number, layer in enumerate(self._layers):
                self._layers[number] = FixedLayer(layer, self._length, width, self._at_1)
        except torch.OutOfMemoryError as error:
            raise NotRecorded("memory is short", lasting=False) from error
        used_BW = self._used_BW.new_zeros(len(self._used_BW), width)
        used_BW[:, : self._length] = self._used_BW[:, : self._length]
        self._used_BW = used_BW

    def _step(self) -> torch.Tensor:
        """A pass that reads and writes the same tensors every time; made twice, it leaves what it left once."""
        cache = DynamicCache()
        cache.layers = self._layers
        mask_B11W = self._used_BW[:, None, None]
        return _pass(self._decoder, self._head, self._token_B, mask_B11W, self._position_B, cache)


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
        self.way: Stepwise | Replayed
        if replayed:
            record = partial(graph, device=lm.device)
            self.way = Replayed(lm.model, cache, mask_BT, position_B, steps, record)
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


def repeatable(lm: TextLM, cache: DynamicCache) -> bool:
    """Whether a step can be `Replayed`: on one GPU, of whole plain weights and layers that see all that is kept."""
    plain = type(lm.weights) is Whole and lm.quantize == NONE
    attention = getattr(lm.model.config.get_text_config(), "_attn_implementation", "")
    roomy = all(type(layer) is RoomyLayer for layer in cache.layers)
    return lm.device.type == "cuda" and plain and attention == "sdpa" and roomy and len(_devices(lm)) == 1


def _devices(lm: TextLM) -> set[torch.device]:
    return {parameter.device for parameter in lm.model.parameters()}


def graph(step: Step, device: torch.device) -> Step:
    """`step` recorded as a CUDA graph on the GPU that its tensors are on.

    Raises NotRecorded where it fails beforehand: where memory is short, and where it waits for the GPU, as some experts
    do. What fails in the recording itself is left to fail: it leaves torch's random state unusable.
    """
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        try:
            step()  # libraries set themselves up
            _without_waiting(step)
        except torch.OutOfMemoryError as error:
            raise NotRecorded("memory is short", lasting=False) from error
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise NotRecorded(first, lasting=True) from error
        finally:
            aside.synchronize()
    recorded = torch.cuda.CUDAGraph()
    # what a reward does on the GPU in a thread of its own is none of the recording's business
    with torch.cuda.device(device), torch.cuda.graph(recorded, stream=aside, capture_error_mode="thread_local"):
        out = step()

    def replay() -> torch.Tensor:
        recorded.replay()
        return out

    return replay


def _without_waiting(step: Step) -> None:
    """Make a step. Raises RuntimeError where it waits for the GPU: such a step cannot be recorded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that not all waiting is seen
        usual = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode(usual)
