"""`kill -9` in every stage of a real run, then the same command again: the same files as an unbroken run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rba.workspace import Workspace, file_hash

ROOT = Path(__file__).parents[1]
STAGES = ("synthesis", "speech", "connect", "align/sft", "align/rba-single", "align/rba-group", "evaluation")

pytestmark = [pytest.mark.slow, pytest.mark.weights]


def start(folder: Path) -> subprocess.Popen[bytes]:
    """`rba run` on the smallest recipe, in a process group of its own."""
    words = ["run", str(ROOT / "recipes" / "ci.yaml"), f"output={folder}", "align.checkpoint_minutes=0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    log = (folder.parent / f"{folder.name}.log").open("ab")
    return subprocess.Popen([sys.executable, "-m", "rba", *words], stdout=log, stderr=log, env=environment)


def kill_in(stage: str, folder: Path) -> bool:
    """Start the run and kill it once `stage` is at work; whether it came to that."""
    run = start(folder)
    while run.poll() is None:
        state = Workspace(folder).stage(stage)
        if state.manifest_path.is_file() and not state.is_complete:
            time.sleep(0.7)  # into the work, past the opening of the stage
            run.send_signal(signal.SIGKILL)
            run.wait()
            return not Workspace(folder).stage(stage).is_complete
        time.sleep(0.02)
    return False


def hashes(folder: Path) -> dict[str, str]:
    """What a run leaves: the stages' outputs, the results and the published weights."""
    found = {stage: Workspace(folder).stage(stage).output_hash() for stage in STAGES}
    files = [folder / "evaluation" / "results.json", *folder.glob("final/*/**/*.safetensors")]
    return found | {str(path.relative_to(folder)): file_hash(path) for path in files}


def test_a_run_killed_in_every_stage_ends_as_an_unbroken_one(tmp_path):
    assert start(tmp_path / "whole").wait() == 0, (tmp_path / "whole.log").read_text()[-2000:]
    killed = [stage for stage in STAGES if kill_in(stage, tmp_path / "broken")]
    assert start(tmp_path / "broken").wait() == 0, (tmp_path / "broken.log").read_text()[-2000:]
    # copying the shipped connector takes no time at all: there may be nothing to interrupt
    assert {*killed, "connect"} == set(STAGES)
    whole, broken = hashes(tmp_path / "whole"), hashes(tmp_path / "broken")
    assert len(whole) > len(STAGES) + 3
    assert broken == whole
