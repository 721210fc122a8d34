"""Several processes of one command: the leader runs the stages, the others help it align, and none outlives another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import helped
import pytest
from forked import as_ranks, ended, fork, free_port

from rba import parallel
from rba.parallel import shares

ROOT = Path(__file__).parents[1]
LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--nproc-per-node", "2", "--master-port"],
    "accelerate": [
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port"),
    ],
}


def start(folder: Path, **environment: str) -> list[tuple[int | None, str, str]]:
    """Two processes of `rba run` with stages that take no time: exit code, output and errors of each."""
    (folder / "mine.yaml").write_text(f"output: {folder}/run\nalign: {{methods: [sft, rba-group]}}\n")
    files = [(folder / f"out-{rank}", folder / f"err-{rank}") for rank in range(2)]
    started = [
        fork(helped.run, "run", str(folder / "mine.yaml"), said=out, errors=err, environment={**rank, **environment})
        for rank, (out, err) in zip(as_ranks(2), files)
    ]
    return [(code, out.read_text(), err.read_text()) for code, (out, err) in zip(ended(started, 120), files)]


def test_the_leader_runs_the_stages_and_the_others_help_it_align(tmp_path: Path):
    (code, out, err), (helper, aid, silent) = start(tmp_path)
    assert (code, helper) == (0, 0), err + silent
    assert "report: " in out and "align/rba-group: done" in out
    assert aid.splitlines() == ["helped with sft", "helped with rba-group"]
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_start_them(launcher: str, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(f"output: {tmp_path}/run\nalign: {{methods: [sft]}}\n")
    command = [sys.executable, "-m", *LAUNCHERS[launcher], free_port(), helped.__file__]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "run", str(tmp_path / "mine.yaml")], env=env, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert "align/sft: done" in done.stdout and done.stdout.count("helped with sft") == 1
    assert (tmp_path / "run" / "report.html").is_file()


def test_two_nodes_meet_as_a_batch_system_starts_them(tmp_path: Path):
    """The `srun torchrun` of docs/scale.md, one launcher a node."""
    (tmp_path / "mine.yaml").write_text(f"output: {tmp_path}/run\nalign: {{methods: [sft]}}\n")
    meeting = ["--rdzv-backend", "c10d", "--rdzv-id", "77", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", *meeting]
    command += [helped.__file__, "run", str(tmp_path / "mine.yaml")]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    nodes = [subprocess.Popen(command, env=env, **pipes) for _ in range(2)]
    told = [node.communicate(timeout=180) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], told
    said = "".join(out for out, _ in told)
    assert "align/sft: done" in said and said.count("helped with sft") == 1
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_process_that_dies_ends_the_others_with_one_line(tmp_path: Path):
    (code, _, err), (killed, _, _) = start(tmp_path, DIES="1")
    assert killed == -signal.SIGKILL
    assert code == 2
    assert [line for line in err.splitlines() if line.startswith("rba: error:")] == [
        "rba: error: another process of this run has ended (seen by process 0 of 2); its own message says why"
    ]
    assert "Traceback" not in err


def test_alone_nothing_is_shared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "4")  # of a batch system that starts no processes
    with parallel.joined() as world, parallel.leader_first():
        assert world.leads and world.size == 1
        assert parallel.gathered("a") == ["a"]
        assert parallel.least(2) == 2
        assert parallel.told("b") == "b"
        assert shares([5, 1, 9]) == [0, 1, 2]


def test_every_item_has_one_process_and_the_loads_are_even(monkeypatch: pytest.MonkeyPatch):
    costs, found = [9, 1, 1, 8, 2, 7], []
    for rank in range(3):
        monkeypatch.setattr(parallel, "_world", parallel.World(rank, 3))
        found.append(shares(costs))
    assert sorted(i for mine in found for i in mine) == list(range(6))
    assert sorted(sum(costs[i] for i in mine) for mine in found) == [9, 9, 10]
