"""Masters, moments and training states that two processes divide are those of one process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rba import checkpoint
from rba.errors import WorkspaceError

from .launched import launch
from .parted import CLIP, SHAPES, made, move


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have worked by `parted`, and one of them was killed."""
    place = tmp_path_factory.mktemp("parted")
    process = launch(2, place, "parted")
    said, _ = process.communicate(timeout=180)
    assert process.returncode != 0 and (place / "seen-0").exists(), said[-4000:]
    return place


def test_divided_masters_move_bfloat16_weights_as_whole_ones_do(folder: Path):
    parameters, masters, optimizer = made()
    wanted = move((parameters, masters, optimizer), range(3), (0, 1))
    for rank in range(2):
        norms = json.loads((folder / f"seen-{rank}").read_text().splitlines()[0])
        assert norms == pytest.approx(wanted, rel=5e-3)  # whole ones are clipped as bfloat16
    assert min(wanted) > CLIP
    found = load_file(folder / "weights.safetensors")
    for name, parameter in parameters.items():
        assert found[name].dtype == torch.bfloat16
        torch.testing.assert_close(found[name], parameter.detach(), atol=0.0, rtol=2**-8)
    assert torch.equal(found["still"], torch.ones(2, dtype=torch.bfloat16))


def test_each_process_holds_half(folder: Path):
    held = [int((folder / f"seen-{rank}").read_text().splitlines()[1]) for rank in range(2)]
    assert held == [8 + 2 + 1 + 1, 7 + 1 + 0 + 1]


def test_each_process_writes_its_part(folder: Path):
    assert {path.name for path in (folder / "last").iterdir()} == {
        *(f"{kind}-{part}-of-00002.safetensors" for kind in ("weights", "moments") for part in ("00001", "00002")),
        "state.json",
    }
    assert {path.name for path in (folder / "whole").iterdir()} == {
        "weights.safetensors",
        "moments.safetensors",
        "state.json",
    }
    assert {
        name: p.numel() for name, p in load_file(folder / "last" / "weights-00002-of-00002.safetensors").items()
    } == {
        "matrix": 7,
        "odd": 1,
        "one": 0,
        "still": 1,
    }


def test_a_death_while_it_is_saved_leaves_the_state_before_to_one_process_too(folder: Path):
    assert (folder / ".last.partial").exists()  # it was on its way
    states = []
    for name in ("last", "whole"):
        _, masters, optimizer = made()
        assert checkpoint.load(folder / name, masters.weights, optimizer) == {"step": 2}
        states.append((masters, optimizer))
    (parts, moved), (whole, other) = states
    for name in SHAPES:
        assert parts.weights[name].shape == SHAPES[name]
        assert torch.equal(parts.weights[name], whole.weights[name])
        for key in checkpoint.MOMENTS if name != "still" else ():
            assert torch.equal(moved.state[parts.weights[name]][key], other.state[whole.weights[name]][key])
    assert not torch.equal(parts.weights["matrix"], torch.ones(5, 3))


def test_a_part_that_is_missing_is_named(folder: Path, tmp_path: Path):
    for path in (folder / "last").iterdir():
        if path.name != "moments-00002-of-00002.safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    _, masters, optimizer = made()
    with pytest.raises(WorkspaceError, match=r"training state is damaged.*moments-00002-of-00002.*delete this folder"):
        checkpoint.load(tmp_path, masters.weights, optimizer)
