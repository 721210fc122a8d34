"""Alignment in processes of its own: the fault of one of them is the dry run's, and not that another one has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import rba
from rba.errors import ModelError, ProcessError, RbaError
from rba.recipe import load_recipe
from rba.rehearsal import divided
from rba.weights.wheels import PackageError

FAULT = ModelError("cannot be divided", "model m", "choose another")
SLEEPER = """
import os, pathlib, sys, time
from multiprocessing.connection import Connection
from rba.workers import follow

follow(Connection(sys.stdin.fileno(), writable=False))
pathlib.Path(sys.argv[1], f"{os.getpid()}.pid").touch()
time.sleep(60)
"""
PARENT = """
import os, pathlib, signal, sys
from rba.rehearsal import divided

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background of a script are born without
launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
divided._code([*launcher, *sys.argv[1:]], dict(os.environ), pathlib.Path(sys.argv[2], "said.txt"))
"""
ENDED = ProcessError("another process of this run has ended", "seen by process 0 of 2")


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(is_so: Callable[[], bool]) -> bool:
    """Whether it is so within a minute."""
    deadline = time.monotonic() + 60
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()


def leave(place: Path, monkeypatch: pytest.MonkeyPatch, rank: int, error: Exception) -> int:
    """The exit code of a process whose work raises `error`."""

    def run(recipe: object, verb: str) -> None:
        assert verb == "align"
        raise error

    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(divided, "run", run)
    (place / "recipe.yaml").write_text("name: mine")
    return divided.main(place)


@pytest.mark.parametrize("errors", [(FAULT, ENDED), (ENDED, FAULT), (FAULT,)])
def test_the_fault_of_one_is_told_and_not_that_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: tuple[RbaError, ...]
):
    assert [leave(tmp_path, monkeypatch, rank, error) for rank, error in enumerate(errors)] == [2] * len(errors)
    found = divided.fault(tmp_path)
    assert type(found) is ModelError and str(found) == str(FAULT)


def test_a_fault_of_a_class_that_stands_elsewhere_is_one_of_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    leave(tmp_path, monkeypatch, 0, PackageError("no wheel", "espeak", "connect once"))
    found = divided.fault(tmp_path)
    assert type(found) is ModelError and str(found) == "no wheel (espeak); connect once"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_end_with_the_dry_run(tmp_path: Path, how: signal.Signals):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    env = {**os.environ, "PYTHONPATH": str(Path(rba.__file__).parents[1])}
    words = [str(tmp_path / "sleeper.py"), str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", PARENT, *words], env=env, stderr=subprocess.DEVNULL) as parent:
        assert until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
        parent.send_signal(how)
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert until(lambda: not any(map(is_alive, pids)))


def test_processes_that_go_on_for_ever_are_ended_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    monkeypatch.setattr(divided, "PATIENCE", 3.0)
    command = [sys.executable, str(tmp_path / "sleeper.py"), str(tmp_path)]
    with pytest.raises(ProcessError, match=r"have not ended within 3 s \(align.sharding\)"):
        divided._code(command, {**os.environ, "PYTHONPATH": str(Path(rba.__file__).parents[1])}, tmp_path / "said.txt")
    assert not any(is_alive(int(path.stem)) for path in tmp_path.glob("*.pid"))


def test_an_error_that_is_nobodys_fault_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ZeroDivisionError):
        leave(tmp_path, monkeypatch, 0, ZeroDivisionError())
    assert divided.fault(tmp_path) is None


def test_one_variant_alone_asks_for_processes(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("align: {variants: {wide: {method: sft, sharding: fsdp}}}")
    assert divided.is_divided(load_recipe(tmp_path / "mine.yaml"))
    assert not divided.is_divided(load_recipe(tmp_path / "mine.yaml", ["align.variants.wide.sharding=none"]))
