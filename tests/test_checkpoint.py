"""Training states on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rba import checkpoint
from rba.errors import WorkspaceError


def trained() -> tuple[dict[str, torch.Tensor], torch.optim.Optimizer]:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    return {"weight": weight}, optimizer


def test_a_state_comes_back_whole(tmp_path: Path):
    parameters, optimizer = trained()
    checkpoint.save(tmp_path / "last", parameters, optimizer, {"step": 1})
    weight = torch.nn.Parameter(torch.zeros(3))
    other = torch.optim.AdamW([weight])
    assert checkpoint.load(tmp_path / "last", {"weight": weight}, other) == {"step": 1}
    assert torch.equal(weight, parameters["weight"])
    assert torch.equal(other.state[weight]["exp_avg"], optimizer.state[parameters["weight"]]["exp_avg"])


@pytest.mark.parametrize("part", ["weights.safetensors", "moments.safetensors", "state.json"])
@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_state_is_named(tmp_path: Path, part: str, cut: bool):
    parameters, optimizer = trained()
    checkpoint.save(tmp_path / "last", parameters, optimizer, {"step": 1})
    path = tmp_path / "last" / part
    if cut:
        path.write_bytes(path.read_bytes()[:9])
    else:
        path.unlink()
    with pytest.raises(WorkspaceError, match=r"training state is damaged.*last.*delete this folder"):
        checkpoint.load(tmp_path / "last", parameters, optimizer)
