"""What the processes of a launcher do for `test_divided`: `torchrun ... -m alignment.parted FOLDER`.

They move bfloat16 weights by divided masters, save them in parts, and one of them is killed while it saves again.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from rba import checkpoint, parallel
from rba.alignment.masters import DividedMasters, Masters

SHAPES = {"matrix": (5, 3), "odd": (3,), "one": (1,), "still": (2,)}  # cut unevenly; the last gets no gradient
CLIP = 1.0  # less than any norm here
Made = tuple[dict[str, torch.nn.Parameter], Masters, torch.optim.Optimizer]


def made(kind: type[Masters] = Masters) -> Made:
    """Weights in bfloat16, their masters and the optimiser."""
    parameters = {name: torch.nn.Parameter(torch.ones(shape, dtype=torch.bfloat16)) for name, shape in SHAPES.items()}
    masters = kind(parameters)
    return parameters, masters, torch.optim.AdamW(masters.weights.values(), lr=1e-3)


def gradients(step: int, rank: int) -> dict[str, torch.Tensor]:
    """What process `rank` of two finds; of small whole numbers, so that bfloat16 adds them without rounding."""
    torch.manual_seed(2 * step + rank)
    found = {name: torch.randint(-4, 5, shape).bfloat16() for name, shape in SHAPES.items() if name != "still"}
    if rank:
        del found["odd"]  # the other process's alone
    return found


def move(thing: Made, steps: range, ranks: tuple[int, ...]) -> list[float]:
    """So many updates by the gradients of `ranks`; the norms."""
    parameters, masters, optimizer = thing
    norms = []
    for step in steps:
        for rank in ranks:
            for name, grad in gradients(step, rank).items():
                old = parameters[name].grad
                parameters[name].grad = grad if old is None else old + grad
        masters.sum()
        norms.append(masters.clip(list(SHAPES), CLIP))
        masters.take()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        masters.give()
    return norms


def main(folder: Path) -> None:
    """Three updates; the state of the second in parts and whole; a death in the middle of saving the third."""
    with parallel.joined() as world:
        thing = made(DividedMasters)
        parameters, masters, optimizer = thing
        norms = move(thing, range(2), (world.rank,))
        for name, parts in (("last", True), ("whole", False)):
            checkpoint.save(folder / name, masters.weights, optimizer, {"step": 2}, masters.division, parts)
        norms += move(thing, range(2, 3), (world.rank,))
        held = sum(p.numel() for p in masters.weights.values())
        for name in ("last", "whole"):  # each in the other's place: the third update comes out the same
            again = made(DividedMasters)
            state = checkpoint.load(folder / name, again[1].weights, again[2], again[1].division)
            assert state == {"step": 2}
            move(again, range(2, 3), (world.rank,))
            assert all(torch.equal(again[1].weights[n], masters.weights[n]) for n in SHAPES), name
        if world.leads:
            save_file({n: p.detach() for n, p in parameters.items()}, folder / "weights.safetensors")
        (folder / f"seen-{world.rank}").write_text(f"{norms}\n{held}")
        parallel.gathered(None)
        if not world.leads:
            checkpoint._write = killed
        checkpoint.save(folder / "last", masters.weights, optimizer, {"step": 3}, masters.division, parts=True)


def killed(path: Path, tensors: Any) -> None:
    """Half a file, and no more."""
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
