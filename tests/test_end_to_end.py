"""The main job on real models at its smallest: one command from the teacher to the report, and what is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import command

import rba
from rba.data.utterance import Utterance
from rba.workspace import Workspace

METHODS = ("sft", "rba-single", "rba-group")

pytestmark = [pytest.mark.slow, pytest.mark.weights]


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
