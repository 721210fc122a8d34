"""The processes of a run: who they are, and how they share work, values and gradients.

`torchrun` and `accelerate launch` start the same command several times and tell each copy its rank in the
environment. The first process (rank 0) leads: it alone writes, and calls the others where their help is needed.
Without a launcher there is one process, and nothing here costs anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from rba.errors import ProcessError

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")

PATIENCE = timedelta(days=30)
"""How long a process waits for another: the leader may work alone for as long as a stage takes."""


@dataclass(frozen=True)
class World:
    """The place of this process, `rank`, among `size` of them."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0


_world = World()


def world() -> World:
    """The processes that work together now: one, outside of `joined`."""
    return _world


def launched() -> int:
    """How many processes a launcher started, this one among them; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if {"RANK", "MASTER_ADDR"} <= os.environ.keys() else 1


@contextmanager
def joined() -> Iterator[World]:
    """Work together with the processes that a launcher started beside this one; alone, where there is none."""
    global _world
    size = launched()
    if size == 1 or _world.size > 1:
        yield _world
        return
    import torch
    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
    _world = World(rank, size)
    try:
        with together():
            # objects travel between CPUs, gradients between the devices that they are on
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
        yield _world
    finally:
        _world = World()
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def together() -> Iterator[None]:
    """Inside, processes talk to each other: a broken connection says in one line that another of them has ended."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, ProcessError):
            raise
        where = f"seen by process {_world.rank} of {_world.size}"
        raise ProcessError("another process of this run has ended", where, "its own message says why") from error


def told(value: Value) -> Value:
    """The leader's `value`, in every process."""
    if _world.size == 1:
        return value
    import torch.distributed as dist

    held = [value]
    with together():
        dist.broadcast_object_list(held, src=0)
    return held[0]


def gathered(value: Value) -> list[Value]:
    """The values of all processes by rank, in every process."""
    if _world.size == 1:
        return [value]
    import torch.distributed as dist

    held: list[Any] = [None] * _world.size
    with together():
        dist.all_gather_object(held, value)
    return held


def least(value: int) -> int:
    """The least `value` of all processes, in every process."""
    if _world.size == 1:
        return value
    import torch
    import torch.distributed as dist

    held = torch.tensor(value)
    with together():
        dist.all_reduce(held, dist.ReduceOp.MIN)
    return int(held)


@contextmanager
def leader_first() -> Iterator[None]:
    """The leader goes through the block before the others do: they find what it has written."""
    if not _world.leads:
        told(None)
    yield
    if _world.leads:
        told(None)


def shares(costs: Sequence[int]) -> list[int]:
    """The items of this process, by index in order: the dearest first, each goes to whom has least to do."""
    if _world.size == 1:
        return list(range(len(costs)))
    loads = [(0, 0, rank) for rank in range(_world.size)]  # cost, items, rank
    mine = []
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        cost, items, rank = min(loads)
        loads[rank] = (cost + costs[i], items + 1, rank)
        if rank == _world.rank:
            mine.append(i)
    return sorted(mine)


def sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Sum the gradients of `parameters` over all processes, in one float32 message; one without any stays without."""
    if _world.size == 1 or not parameters:
        return
    import torch
    import torch.distributed as dist

    there = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
    flat = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float() for p in parameters]
    message = torch.cat([there, *flat])
    with together():
        dist.all_reduce(message)
    found, rest = message.split([len(parameters), len(message) - len(parameters)])
    for parameter, anywhere, total in zip(parameters, found.tolist(), rest.split([p.numel() for p in parameters])):
        if anywhere:
            parameter.grad = total.view_as(parameter).to(parameter.dtype)


def same_weights(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Give every process the leader's weights."""
    if _world.size == 1:
        return
    import torch.distributed as dist

    with together():
        for parameter in parameters:
            dist.broadcast(parameter.data, src=0)
