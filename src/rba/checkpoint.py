"""Training state on disk: weights and AdamW moments as safetensors, counters as JSON; no pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rba.errors import WorkspaceError
from rba.files import settle


def save(folder: Path, parameters: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Write a training state atomically: the folder holds either the last whole state or the new one.

    `parameters` are the trained tensors by name, in the optimizer's order; `state` is anything JSON can hold.
    """
    from safetensors.torch import save_file

    fresh = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in parameters.items()}, fresh / "weights.safetensors")
    moments, steps = {}, {}
    for index, slot in optimizer.state_dict()["state"].items():
        steps[str(index)] = float(slot["step"])
        for key in ("exp_avg", "exp_avg_sq"):
            moments[f"{index}.{key}"] = slot[key].cpu().contiguous()
    save_file(moments, fresh / "moments.safetensors")
    (fresh / "state.json").write_text(json.dumps({"state": state, "steps": steps}))
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    settle(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, parameters: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer) -> Any | None:
    """Restore what `save` wrote into `parameters` and `optimizer`, in place; returns `state`, None if there is none.

    Raises WorkspaceError where it is damaged.
    """
    from safetensors import SafetensorError

    try:
        return _load(folder, parameters, optimizer)
    except (KeyError, OSError, SafetensorError, ValueError) as error:
        fix = "delete this folder, and the training begins anew"
        raise WorkspaceError(f"a training state is damaged: {error}", str(folder), fix) from error


def _load(folder: Path, parameters: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer) -> Any | None:
    from safetensors.torch import load_file

    old = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and old.exists():  # killed between the two renames
        old.replace(folder)
    if not folder.exists():
        return None
    weights = load_file(folder / "weights.safetensors")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    record = json.loads((folder / "state.json").read_text())
    moments = load_file(folder / "moments.safetensors")
    slots = {
        int(i): {"step": torch.tensor(s), **{k: moments[f"{i}.{k}"] for k in ("exp_avg", "exp_avg_sq")}}
        for i, s in record["steps"].items()
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    return record["state"]
