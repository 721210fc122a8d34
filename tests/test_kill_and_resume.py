"""`kill -9` in every stage of a real run, then the same command again: the same files as an unbroken run."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from commands import CI_RECIPE, start

from rba.workspace import Workspace, file_hash

STAGES = ("synthesis", "speech", "connect", "align/sft", "align/rba-single", "align/rba-group", "evaluation")

pytestmark = [pytest.mark.slow, pytest.mark.weights]


def run(folder: Path) -> subprocess.Popen[bytes]:
    """`rba run` on the smallest recipe, with a checkpoint after every update."""
    log = (folder.parent / "log").open("ab")
    words = ("run", str(CI_RECIPE), f"output={folder}", "align.checkpoint_minutes=0")
    return start(*words, stdout=log, stderr=log)


def kill_in(stage: str, folder: Path) -> bool:
    """Start the run and kill it once `stage` is at work; whether it came to that."""
    process = run(folder)
    while process.poll() is None:
        state = Workspace(folder).stage(stage)
        if state.manifest_path.is_file() and not state.is_complete:
            time.sleep(0.7)  # into the work, past the opening of the stage
            process.kill()
            process.wait()
            return not Workspace(folder).stage(stage).is_complete
        time.sleep(0.02)
    return False


def hashes(folder: Path) -> dict[str, str]:
    """What a run leaves: the stages' outputs, the results and the published weights."""
    found = {stage: Workspace(folder).stage(stage).output_hash() for stage in STAGES}
    files = [folder / "evaluation" / "results.json", *folder.glob("final/*/**/*.safetensors")]
    return found | {str(path.relative_to(folder)): file_hash(path) for path in files}


def test_a_run_killed_in_every_stage_ends_as_an_unbroken_one(finished: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    killed = [stage for stage in STAGES if kill_in(stage, broken)]
    assert run(broken).wait() == 0, (tmp_path / "log").read_text()[-2000:]
    # copying the shipped connector takes no time at all: there may be nothing to interrupt
    assert {*killed, "connect"} == set(STAGES)
    wanted = hashes(finished)
    assert len(wanted) > len(STAGES) + 3
    assert hashes(broken) == wanted
