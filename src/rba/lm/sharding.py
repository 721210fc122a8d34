"""An LLM whose frozen blocks are divided among the processes: each holds its share of every weight matrix in them.

`torch.distributed.fsdp.fully_shard` gathers a block's weights where the block runs, forwards and backwards, and frees
them after it. What is trained (adapters, copies, connector) stays whole in every process, and so do embeddings and the
head.

Gathering takes all processes at once, yet each has passes of its own number: other micro-batches, answers of other
length, measurements that only the leader makes. So processes agree before every pass, and one that has no pass to make
takes part in the gathering alone. Passes with a gradient are counted, since the backward pass meets them again, the
last one first.

Scoring lets a prompt's keys and values cross from one pass to another, which gives a block's backward pass a second
entry beside its output. They are made outputs of the block too, so that its weights are there whichever comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from rba import parallel
from rba.errors import ModelError, RecipeError
from rba.lm.adapted import is_adapter
from rba.lm.memory import Memory
from rba.lm.recompute import check_apart
from rba.lm.scoring import backbone

if TYPE_CHECKING:
    from rba.lm.load import TextLM

_STILL, _GRADIENT, _DONE = range(3)
"""What a process has to do next: a pass without or with a gradient, or none. The least that is wanted comes first."""


class Whole:
    """How an LLM's weights are held: here, all of them in this process, which needs no other one to use them."""

    def in_step(self) -> AbstractContextManager[None]:
        """The context in which passes are made; all processes enter and leave it alike."""
        return nullcontext()

    def rounds(self, mine: int) -> int:
        """How many micro-batches this process goes through, of which `mine` are its own."""
        return mine

    def backward(self, loss: torch.Tensor | None, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Follow a loss back through the passes of the last `in_step`; None or one without a gradient adds nothing."""
        if loss is not None and loss.requires_grad:
            loss.backward()


class Shards(Whole):
    """Here, a share of every block's frozen weights; `blocks` are under `fully_shard`, and so is `decoder`."""

    def __init__(self, decoder: Any, blocks: Sequence[Any]):
        self.blocks = list(blocks)
        self._inside = False
        self._passes, self._ends = 0, list[torch.Tensor]()
        decoder.register_forward_pre_hook(self._before_pass, prepend=True)
        decoder.register_forward_hook(_seal, prepend=True)
        decoder.register_forward_hook(self._after_pass)
        for number, block in enumerate(self.blocks):
            # the order of gathering is fixed here; by itself it depends on passes that are long over
            block.set_modules_to_backward_prefetch([self.blocks[max(0, number - 1)]])
            block.set_custom_all_gather(_AllGather())
            block.register_forward_pre_hook(partial(_open, number), prepend=True, with_kwargs=True)
            block.register_forward_hook(_show, prepend=True, with_kwargs=True)
            block.register_forward_hook(_close, with_kwargs=True)

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """As `Whole.in_step`: what is left inside is left only when all processes have made their passes."""
        self._inside = True
        yield
        while (kind := parallel.least(_DONE)) != _DONE:
            self._take_part(kind)
        self._inside = False

    def rounds(self, mine: int) -> int:
        """As many as the process with the most has."""
        return max(parallel.gathered(mine))

    def backward(self, loss: torch.Tensor | None, parameters: Sequence[torch.nn.Parameter]) -> None:
        """As `Whole.backward`; passes that the loss does not depend on are gone through too, with a gradient of 0."""
        for _ in range(self._passes - len(self._ends)):
            _gather(reversed(self.blocks))
        roots = [loss] if loss is not None and loss.requires_grad else []
        none = [] if roots else [p for p in parameters if p.grad is None]
        if self._ends:
            zeros = [torch.zeros_like(end) for end in self._ends]
            torch.autograd.backward([*roots, *self._ends], [*map(torch.ones_like, roots), *zeros])
        elif roots:
            torch.autograd.backward(roots)
        for parameter in none:
            parameter.grad = None
        self._passes, self._ends = 0, []

    def _before_pass(self, *_: Any) -> None:
        """Let those who have a pass without a gradient go first."""
        assert self._inside, "a pass of a divided model outside of `in_step` would wait for the others forever"
        wanted = _GRADIENT if torch.is_grad_enabled() else _STILL
        while (kind := parallel.least(wanted)) != wanted:
            self._take_part(kind)
        self._passes += kind == _GRADIENT

    def _after_pass(self, decoder: Any, args: Any, sealed: Any) -> Any:
        out = sealed()
        if torch.is_grad_enabled():
            self._ends.append(out.last_hidden_state)
        return out

    def _take_part(self, kind: int) -> None:
        """Help others to make a pass."""
        _gather(self.blocks)
        self._passes += kind == _GRADIENT


class _AllGather:
    """The default gathering of `fully_shard`, which says in one line that another process has ended."""

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: torch.Tensor, input_tensor: torch.Tensor, group: Any, async_op: bool = False
    ) -> Any:
        import torch.distributed as dist

        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        with parallel.together():
            return gather(output_tensor, input_tensor, group=group, async_op=async_op)


def _gather(blocks: Any) -> None:
    """Give others the own share of each block's weights, and keep nothing of theirs."""
    for block in blocks:
        block.unshard()
        block.reshard()


def _seal(decoder: Any, args: Any, out: Any) -> Any:
    """Keep a pass's output, states of all layers among it, from being watched: its blocks are, one by one."""
    return lambda: out


def _open(number: int, block: Any, args: Any, kwargs: Any) -> Any:
    """Before a block: its memory becomes tensors, and its input has a gradient, whose end frees the weights."""
    if not torch.is_grad_enabled():
        return None
    hidden_BTD, *rest = args
    if not hidden_BTD.requires_grad:
        hidden_BTD = hidden_BTD.detach().requires_grad_()
    cache = kwargs.get("past_key_values")
    if cache is not None:
        kwargs = {**kwargs, "past_key_values": Memory.of(cache.layers[number])}
    return (hidden_BTD, *rest), kwargs


def _show(block: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """Behind a block: its memory becomes an output."""
    memory = kwargs.get("past_key_values")
    if not isinstance(memory, Memory):
        return None
    # copies of what is a view: nothing done to its base can then pass by the gathering
    return out, *(t.clone() if t is not None and t._is_view() else t for t in (memory.keys, memory.values))


def _close(block: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """And goes back into the cache."""
    memory = kwargs.get("past_key_values")
    if not isinstance(memory, Memory):
        return None
    out, memory.keys, memory.values = out
    memory.store()
    return out


def check(sharding: str) -> None:
    """Raise RecipeError where weights are to be divided and there is nobody to divide them with."""
    if sharding != "none" and parallel.world().size == 1:
        fix = "start it with torchrun --nproc-per-node N -m rba ..., or set align.sharding=none"
        raise RecipeError("one process has no other to divide the weights with", f"align.sharding {sharding}", fix)


def shard(lm: TextLM, device: torch.device) -> None:
    """Divide the weights of an LLM's blocks among all processes, in place, and put the rest on `device`.

    The LLM may be on the CPU: no more than a block is on `device` as a whole. Raises RecipeError as `check` does,
    ModelError for an LLM that is not made of blocks that work apart, and where torch is too old.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    check("fsdp")
    if not hasattr(FSDPModule, "set_custom_all_gather"):
        raise ModelError("this torch is too old to divide weights", torch.__version__, "upgrade it")
    decoder = backbone(lm.model)
    check_apart(decoder, lm.name, "set align.sharding=none")
    blocks = decoder.layers
    mesh = init_device_mesh(device.type, (parallel.world().size,))
    adapters = {p for name, p in decoder.named_parameters() if is_adapter(name)}
    for block in blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=True, ignored_params=adapters)
    kind = type(decoder)
    fully_shard(decoder, mesh=mesh, ignored_params=set(decoder.parameters()))
    decoder.__class__ = kind  # transformers looks up by the class which states a model can give
    lm.model.to(device)
    lm.weights = Shards(decoder, blocks)
