"""Training state on disk: weights and AdamW moments as safetensors, counters as JSON; no pickle.

Where processes divide the state (`rba.division`) it is written whole by the leader, or each process writes its part
(`weights-00001-of-00004.safetensors`). Whole or in parts, by one process or many, a state is read by any number.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from rba import parallel
from rba.division import Division
from rba.errors import WorkspaceError
from rba.files import settle

MOMENTS = ("exp_avg", "exp_avg_sq")


def save(
    folder: Path,
    parameters: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    state: Any,
    division: Division | None = None,
    parts: bool = False,
) -> None:
    """Write a training state atomically: the folder holds either the last whole state or the new one.

    `parameters` are the trained tensors by name, in the optimizer's order; `state` is anything JSON can hold. Where
    they are divided all processes call this, and with `parts` each writes its own; else the leader alone writes.
    """
    names, leads = list(parameters), parallel.world().leads
    moments, owners, steps = {}, {}, {}
    for index, slot in optimizer.state_dict()["state"].items():
        steps[str(index)] = float(slot["step"])
        for key in MOMENTS:
            moments[f"{index}.{key}"], owners[f"{index}.{key}"] = slot[key], names[index]
    fresh = folder.with_name(f".{folder.name}.partial")
    with parallel.leader_first() if parts else ExitStack():
        if leads:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
    for kind, tensors, of in (("weights", parameters, dict(zip(names, names))), ("moments", moments, owners)):
        held = _held(tensors) if parts else whole(tensors, of, division)
        if parts or leads:
            _write(fresh / _file(kind, parallel.world().rank, parallel.world().size if parts else 1), held)
    if parts:
        parallel.gathered(None)  # all of them are on the disk
    if not leads:
        return
    record = {"state": state, "steps": steps, "parts": parallel.world().size if parts else 1}
    (fresh / "state.json").write_text(json.dumps(record))
    _replace(folder, fresh)


def load(
    folder: Path,
    parameters: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    division: Division | None = None,
) -> Any | None:
    """Restore what `save` wrote into `parameters` and `optimizer`, in place; returns `state`, None if there is none.

    Raises WorkspaceError where it is damaged.
    """
    from safetensors import SafetensorError

    try:
        return _load(folder, parameters, optimizer, division)
    except (KeyError, OSError, SafetensorError, ValueError) as error:
        fix = "delete this folder, and the training begins anew"
        raise WorkspaceError(f"a training state is damaged: {error}", str(folder), fix) from error


def whole(
    tensors: Mapping[str, torch.Tensor], owners: Mapping[str, str], division: Division | None
) -> dict[str, torch.Tensor]:
    """Tensors, each divided as the one that owns it, whole on the leader's CPU; other processes get none."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        tensor = division.whole(owners[name], tensor.detach()) if division else tensor
        if parallel.world().leads:
            found |= _held({name: tensor})
    return found


@torch.no_grad()
def read(files: Sequence[Path], parameters: Mapping[str, torch.Tensor], division: Division | None = None) -> None:
    """Fill `parameters`, divided or not, from the files that hold the whole tensors or, in their order, their parts."""
    with ExitStack() as stack:
        opened = _open(files, stack)
        for name, parameter in parameters.items():
            parameter.copy_(_numbers(opened, name, parameter, division.span(name) if division else None))


def _load(
    folder: Path,
    parameters: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    division: Division | None,
) -> Any | None:
    old = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and old.exists():  # killed between the two renames
        old.replace(folder)
    if not folder.exists():
        return None
    record = json.loads((folder / "state.json").read_text())
    parts = record.get("parts", 1)
    weights, moments = ([folder / _file(kind, i, parts) for i in range(parts)] for kind in ("weights", "moments"))
    read(weights, parameters, division)
    named, slots = list(parameters.items()), {}
    with ExitStack() as stack:
        opened = _open(moments, stack)
        for index, step in record["steps"].items():
            name, parameter = named[int(index)]
            span = division.span(name) if division else None
            found = {key: _numbers(opened, f"{index}.{key}", parameter, span) for key in MOMENTS}
            slots[int(index)] = {"step": torch.tensor(step), **found}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    return record["state"]


def _replace(folder: Path, fresh: Path) -> None:
    """Put a whole state in the place of the last one, which is not gone before."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    settle(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def _file(kind: str, part: int, parts: int) -> str:
    return f"{kind}.safetensors" if parts == 1 else f"{kind}-{part + 1:05}-of-{parts:05}.safetensors"


def _held(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a file and bring it to the disk: who renames the folder may be on another machine."""
    from safetensors.torch import save_file

    arriving = path.with_name(f".{path.name}")
    save_file(tensors, arriving)
    settle(arriving, path)


def _open(files: Sequence[Path], stack: ExitStack) -> list[Any]:
    from safetensors import safe_open

    return [stack.enter_context(safe_open(path, framework="pt")) for path in files]


def _numbers(files: Sequence[Any], name: str, like: torch.Tensor, span: slice | None) -> torch.Tensor:
    """Those numbers of a tensor, in one file or cut over many, that are in `span`, in the shape of `like`."""
    found, start = [], 0
    for file in files:
        length = int(torch.Size(file.get_slice(name).get_shape()).numel())
        low, high = (0, length) if span is None else (max(0, span.start - start), min(length, span.stop - start))
        if low < high:
            found.append(file.get_tensor(name).flatten()[low:high])
        start += length
    numbers = torch.cat(found) if found else torch.empty(0)
    if numbers.numel() != like.numel():
        raise ValueError(f"{name} has other numbers than are trained")
    return numbers.view(like.shape)
