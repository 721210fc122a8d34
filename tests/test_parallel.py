"""Several processes of one command: the leader runs the stages, the others help it align, and none outlives another."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rba import parallel
from rba.parallel import shares

ROOT = Path(__file__).parents[1]
HELPED = """
import os, signal, sys
import fakes
from rba import parallel
from rba.cli import main

fakes.install()
alone = sys.modules["rba.alignment.stage"].run

def align(settings, **parts):
    world = parallel.world()
    if world.rank == 1 and "DIES" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    assert parallel.gathered(parts["method"]) == [parts["method"]] * 2
    if world.leads:
        alone(settings, **parts)
    else:
        print("helped with", parts["method"], flush=True)

sys.modules["rba.alignment.stage"].run = align
sys.exit(main(sys.argv[1:]))
"""


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--nproc-per-node", "2", "--master-port"],
    "accelerate": [
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port"),
    ],
}


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def start(folder: Path, **environment: str) -> list[tuple[int, str, str]]:
    """Two processes of `rba VERB` with stages that take no time: exit code, output and errors of each."""
    (folder / "mine.yaml").write_text(f"output: {folder}/run\nalign: {{methods: [sft, rba-group]}}\n")
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", **environment}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", HELPED, "run", str(folder / "mine.yaml")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, env={**env, "RANK": str(r), "LOCAL_RANK": str(r)}, **pipes) for r in range(2)]
    ended = [process.communicate(timeout=120) for process in started]
    return [(process.returncode, out, err) for process, (out, err) in zip(started, ended)]


def test_the_leader_runs_the_stages_and_the_others_help_it_align(tmp_path: Path):
    (code, out, err), (helper, helped, silent) = start(tmp_path)
    assert (code, helper) == (0, 0), err + silent
    assert "report: " in out and "align/rba-group: done" in out
    assert helped.splitlines() == ["helped with sft", "helped with rba-group"]
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_start_them(launcher: str, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(f"output: {tmp_path}/run\nalign: {{methods: [sft]}}\n")
    (tmp_path / "helped.py").write_text(HELPED)
    command = [sys.executable, "-m", *LAUNCHERS[launcher], free_port(), str(tmp_path / "helped.py")]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*command, "run", str(tmp_path / "mine.yaml")], env=env, capture_output=True, text=True, timeout=180
    )
    assert ended.returncode == 0, ended.stderr
    assert "align/sft: done" in ended.stdout and ended.stdout.count("helped with sft") == 1
    assert (tmp_path / "run" / "report.html").is_file()


def test_two_nodes_meet_as_a_batch_system_starts_them(tmp_path: Path):
    """The `srun torchrun` of docs/scale.md, one launcher a node."""
    (tmp_path / "mine.yaml").write_text(f"output: {tmp_path}/run\nalign: {{methods: [sft]}}\n")
    (tmp_path / "helped.py").write_text(HELPED)
    meeting = ["--rdzv-backend", "c10d", "--rdzv-id", "77", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", *meeting]
    command += [str(tmp_path / "helped.py"), "run", str(tmp_path / "mine.yaml")]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    nodes = [subprocess.Popen(command, env=env, **pipes) for _ in range(2)]
    ended = [node.communicate(timeout=180) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], ended
    said = "".join(out for out, _ in ended)
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
