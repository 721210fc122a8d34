"""A step of decoding that is recorded once, as a CUDA graph, and replayed.

On a GPU a small step is a thousand kernels that take longer to start than to run. A graph's tensors never move or grow,
so keys and values get room before it is used, and a mask says which of it is in use; where it runs out, or many rows
have ended, the step is recorded anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from rba.lm.cache import RoomyLayer, roomy_cache
from rba.lm.head import vocabulary_head
from rba.lm.load import TextLM
from rba.lm.quantization import NONE
from rba.lm.scoring import backbone
from rba.lm.sharding import Whole
from rba.lm.stepwise import Stepwise, one_pass

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
    """`Stepwise`, with one pass that `record` makes repeatable, for up to `steps` steps; the `cache` is emptied.

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
        return one_pass(self._decoder, self._head, self._token_B, mask_B11W, self._position_B, cache)


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
