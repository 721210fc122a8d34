"""Processes that a launcher started give what one process gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from . import together
from .together import CASES, RESUMED

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXACT = {"atol": 1e-5, "rtol": 0.0}


def launch(count: int, folder: Path) -> subprocess.Popen[str]:
    """Start `torchrun` with `count` processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command += ["-m", "alignment.together", str(folder)]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """As many threads as the launched processes have: another number adds in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Where so many launched processes have worked; 0 is a plain one."""
    places = {count: tmp_path_factory.mktemp("place") for count in (0, 1, 2)}
    with one_thread(), together.cut_short():
        together.train(places[2] / "alone-first", RESUMED)
    launched = [launch(count, places[count]) for count in (1, 2)]
    with one_thread():
        for case in CASES:
            together.train(places[0] / "whole", case)
    for process in launched:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said[-4000:]
    return places


def weights(place: Path, case: str) -> dict[str, torch.Tensor]:
    """What training left."""
    return load_file(place / case / "trained.safetensors")


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """The same numbers, to 1e-5."""
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, **EXACT)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_those_of_one_process(places: dict[int, Path], case: str, count: int):
    assert_same(weights(places[count] / "whole", case), weights(places[0] / "whole", case))


@pytest.mark.parametrize("case", CASES)
def test_so_is_the_log(places: dict[int, Path], case: str):
    found, wanted = (json.loads((places[count] / "whole" / case / "records.json").read_text()) for count in (2, 0))
    # the clock, and what is taken over a micro-batch
    other = {"seconds", "tokens_per_second", "matmul_utilisation", "value/mean", "value/explained_variance"}
    assert len(found) == len(wanted) == 1 + together.SETTINGS.steps
    for ours, theirs in zip(found, wanted):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - other:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-4), key


def test_a_run_goes_on_with_another_number_of_processes(places: dict[int, Path]):
    wanted = weights(places[0] / "whole", RESUMED)
    assert_same(weights(places[2] / "alone-first", RESUMED), wanted)
    with one_thread():
        records = together.train(places[2] / "together-first", RESUMED)
    assert records[0]["step"] == together.HALF + 1
    assert_same(weights(places[2] / "together-first", RESUMED), wanted)


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_the_policy_is_one_forward_for_wrappers(places: dict[int, Path], way: str):
    found = load_file(places[2] / f"{way}.safetensors")
    alone = [together.gradients(together.scored(rank)) for rank in range(2)]
    assert_same(found, {name: sum(g[name] for g in alone) / 2 for name in alone[0]})
    assert max(float(g.abs().max()) for g in found.values()) > 1e-2
