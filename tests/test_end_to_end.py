"""The main job on real models at its smallest: from the teacher to the report, killed in every stage or not."""

from __future__ import annotations

import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from commands import CI_RECIPE, command
from forked import ended, fork

import rba
from rba.cli import main
from rba.data.utterance import Utterance
from rba.workspace import Workspace, file_hash

EVERY_UPDATE = "align.checkpoint_minutes=0"
STAGES = ("synthesis", "speech", "connect", "align/sft", "align/rba-single", "align/rba-group", "evaluation")
METHODS = ("sft", "rba-single", "rba-group")

pytestmark = [pytest.mark.slow, pytest.mark.weights]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of recipes/ci.yaml."""
    folder = tmp_path_factory.mktemp("runs") / "ci"
    done = command("run", str(CI_RECIPE), f"output={folder}", EVERY_UPDATE)
    assert done.returncode == 0, done.stderr
    assert f"report: {folder}/report.html" in done.stdout
    return folder


def test_the_run_folder_is_complete(finished):
    for name in ("synthesis", "speech", "connect", "evaluation", *(f"align/{m}" for m in METHODS)):
        assert Workspace(finished).stage(name).is_complete, name
    assert (finished / "report.html").stat().st_size > 100_000
    assert not list(finished.rglob("*.partial"))


def test_every_model_has_its_scores(finished):
    rows = rba.load_results(finished)
    assert {"base", "text", "cascade", "teacher", *METHODS} <= {row.model for row in rows}
    assert all(row.low <= row.value <= row.high for row in rows if row.low is not None and row.high is not None)


def test_running_again_does_nothing(finished):
    again = command("run", str(finished / "config.yaml"))
    assert again.returncode == 0 and again.stdout.count("unchanged, skipped") == 4 + len(METHODS)


def test_a_final_model_can_be_talked_to(finished, tmp_path):
    utterance = Workspace(finished).stage("speech").read(Utterance)[0]
    (tmp_path / "question.flac").write_bytes(utterance.audio)
    model = str(finished / "final" / "rba-group")
    spoken = command("chat", model, "--wav", str(tmp_path / "question.flac"), "--max-new-tokens", "8")
    assert spoken.returncode == 0, spoken.stderr
    assert [line.split(":")[0] for line in spoken.stdout.splitlines()][:3] == ["you", "heard", "model"]


def test_a_plan_of_the_run_is_near_what_it_left_behind(finished):
    from rba.plan.plan import make_plan

    plan = make_plan(rba.load_recipe(finished / "config.yaml"))
    workspace, stages = Workspace(finished), {stage.name: stage for stage in plan.stages}
    counts = {name: {item.what: item.count for item in stage.items} for name, stage in stages.items()}
    synthesis, speech = workspace.stage("synthesis").notes, workspace.stage("speech").notes
    assert counts["synthesis"]["instructions kept"] == synthesis["kept"]
    assert near(counts["synthesis"]["requests drawn"], synthesis["attempts"], 3)
    assert counts["speech"]["utterances spoken"] == speech["utterances"]
    assert near(stages["speech"].audio_hours, speech["hours"], 1.5)
    assert near(stages["speech"].disk, on_disk(finished / "speech"), 1.5)
    trained = workspace.stage("align/sft").notes["data"]
    clips = 2 * (trained["instructions_reached"] + trained["validation_instructions"])
    assert counts["align (shared)"]["clips encoded"] == clips
    assert near(stages["align (shared)"].disk, on_disk(finished / "align" / ".shared"), 1.5)
    assert stages["align/sft"].memory and near(
        stages["align/sft"].disk, on_disk(finished / "align" / "sft") + on_disk(finished / "final" / "sft"), 1.5
    )
    answers = workspace.stage("evaluation").notes["answers"]
    assert {m: counts["evaluation"][f"answers: {m}"] for m in ("base", "text", *METHODS)} == {
        m: answers[m] for m in ("base", "text", *METHODS)
    }


def near(planned: float, found: float, factor: float) -> bool:
    """Whether two numbers differ by at most a factor."""
    return planned / factor <= found <= planned * factor


def on_disk(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# `kill -9` in every stage, then the same command again.


def rba_with(*words: str) -> None:
    """End this process as `rba` with these words ends."""
    sys.exit(main(words))


def run(folder: Path) -> ForkServerProcess:
    """The same run in another folder, in a process that can be killed."""
    words = ("run", str(CI_RECIPE), f"output={folder}", EVERY_UPDATE)
    return fork(rba_with, *words, said=folder.parent / "log")


def kill_in(stage: str, folder: Path) -> bool:
    """Start the run and kill it once `stage` is at work; whether it came to that."""
    process = run(folder)
    while process.is_alive():
        state = Workspace(folder).stage(stage)
        if state.manifest_path.is_file() and not state.is_complete:
            time.sleep(0.7)  # into the work, past the opening of the stage
            process.kill()
            process.join()
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
    assert ended([run(broken)]) == [0], (tmp_path / "log").read_text()[-2000:]
    # copying the shipped connector takes no time at all: there may be nothing to interrupt
    assert {*killed, "connect"} == set(STAGES)
    wanted = hashes(finished)
    assert len(wanted) > len(STAGES) + 3
    assert hashes(broken) == wanted
