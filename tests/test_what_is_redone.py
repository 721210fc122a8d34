"""What a changed setting, input or file makes a run do again, and what stays current: with stages that take no time."""

from __future__ import annotations

import os

import fakes
import pytest
from fakes import STEPS, done, hashes

from rba.pipeline import run
from rba.steps import plan
from rba.workspace import Workspace


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ("synthesis.max_words=40", ["synthesis", "speech", "align/sft", "align/rba-group", "evaluation"]),
        ("speech.acoustics=clean", ["speech", "align/sft", "align/rba-group", "evaluation"]),
        ("connect.ctc.width=64", ["connect", "align/sft", "align/rba-group", "evaluation"]),
        ("align.lr=3e-4", ["align/sft", "align/rba-group", "evaluation"]),
        ("align.tars.kl=0.5", []),  # a setting of a method that is not trained
        ("align.methods=[rba-group]", ["evaluation"]),
        ("align.methods=[sft, rba-group, rba-single]", ["align/rba-single", "evaluation"]),
        ("align.variants={sharp: {method: rba-group, beta: 0.5}}", ["align/sharp", "evaluation"]),
        ("seed=1", list(STEPS)),
        ("teacher=org/other", ["synthesis", "speech", "align/sft", "align/rba-group", "evaluation"]),
        ("task.prompt=Translate it.", ["synthesis", "speech", "align/sft", "align/rba-group", "evaluation"]),
        ("task.language=fr", ["synthesis", "evaluation"]),  # the fake's answers are the same in any language
        ("speech.workers=7", []),
        ("name=other", []),
    ],
)
def test_a_change_redoes_what_depends_on_it_and_nothing_else(mine, override, again):
    run(mine())
    done()
    run(mine(override))
    assert done() == [*again, "report"]


def test_a_task_that_the_teacher_is_told_in_its_own_words_changes_no_data(mine):
    own = "synthesis.answer_system=You translate."
    run(mine(own))
    done()
    run(mine(own, "task.prompt=Translate it."))
    assert done() == ["align/sft", "align/rba-group", "evaluation", "report"]
    run(mine(own, "task.prompt=Translate {}"))  # what stands around a request, the teacher reads, too
    assert done() == ["synthesis", "speech", "align/sft", "align/rba-group", "evaluation", "report"]


def test_texts_count_by_their_content(mine, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("A cat.\n")
    run(mine(f"synthesis.texts={texts}"))
    done()
    os.utime(texts, (1, 1))
    run(mine(f"synthesis.texts={texts}"))
    assert done() == ["report"]
    texts.write_text("A dog.\n")
    run(mine(f"synthesis.texts={texts}"))
    assert done() == ["synthesis", "report"]


def test_a_stage_that_comes_out_the_same_leaves_the_later_ones_current(mine, monkeypatch):
    """What counts is the content of the inputs, not that they were made again."""
    monkeypatch.setattr(fakes, "digest", lambda *parts: "always the same")
    run(mine())
    done()
    run(mine("synthesis.max_words=40"))
    assert done() == ["synthesis", "report"]


def test_going_back_to_old_settings_gives_the_old_results(mine):
    root = run(mine())
    before = hashes(root)
    run(mine("seed=9"))
    assert hashes(root) != before
    run(mine())
    assert hashes(root) == before


def test_a_stage_that_begins_anew_forgets_its_old_curve(mine):
    root = run(mine())
    run(mine("align.lr=3e-4"))
    assert [r["step"] for r in Workspace(root).records("align/sft")] == [0, 1]


@pytest.mark.parametrize(
    ("key", "stage"),
    [
        ("teacher", "synthesis"),
        ("evaluate.cascade", "evaluation"),
        ("speech.gate_asr", "speech"),
        ("align.rollout_server", "align/sft"),
    ],
)
def test_a_server_asked_faster_changes_nothing_and_another_model_does(mine, key, stage):
    run(mine(f"{key}=openai:http://h/v1#m"))
    done()
    run(mine(f"{key}=openai:http://h/v1?concurrency=2&price_in=1#m"))
    assert done() == ["report"]
    run(mine(f"{key}=openai:http://h/v1#n"))
    assert done()[0] == stage


def test_another_judge_asks_no_model_again(mine, tmp_path):
    run(mine())
    answers = tmp_path / "run" / "evaluation" / "part-00000.parquet"
    answers.write_text("what the models said")
    done()
    run(mine("evaluate.judges=[similarity, recall]", "evaluate.opponents=[base]", "evaluate.judge=org/other"))
    assert done() == ["evaluation", "report"] and answers.is_file()
    run(mine("evaluate.judges=[recall, reward-model]", "evaluate.reward_model=org/scorer"))
    assert done() == ["evaluation", "report"] and answers.is_file()
    run(mine("evaluate.voices=2"))
    assert done() == ["evaluation", "report"] and not answers.is_file()


def test_the_files_of_the_engine_of_a_condition_count_where_it_is_asked(mine, tmp_path, monkeypatch):
    voice = tmp_path / "voice.onnx"
    voice.write_text("one")
    monkeypatch.setattr("rba.speech.engine.prepare", lambda name: None)  # Piper need not be here
    asked = f"evaluate.conditions={{names: [clean, engine], engine: 'piper:{voice}'}}"
    other = f"evaluate.conditions={{names: [clean], engine: 'piper:{voice}'}}"
    marks = []
    for content in ("one", "two"):
        voice.write_text(content)
        ran = Workspace(run(mine(asked)))
        marks.append([plan(mine(override), ran)[-1].mark(ran) for override in (asked, other)])
    assert marks[0][0] != marks[1][0]
    assert marks[0][1] == marks[1][1]


def test_other_rows_of_the_same_answers_ask_no_model_again(mine, tmp_path, monkeypatch):
    run(mine())
    answers = tmp_path / "run" / "evaluation" / "part-00000.parquet"
    answers.write_text("what the models said")
    done()
    monkeypatch.setattr("rba.steps._ROWS", "others")
    run(mine())
    assert done() == ["evaluation", "report"] and answers.is_file()


def test_a_method_under_another_name_is_evaluated_anew_though_nothing_else_differs(mine, tmp_path):
    marks = []
    for name in ("group-sharp", "group-b05"):
        workspace = Workspace(tmp_path / name)
        align = workspace.stage(f"align/{name}")
        align.open("mark")
        align.complete()
        recipe = mine(f"align.variants={{{name}: {{method: rba-group, beta: 0.5}}}}", "align.methods=[]")
        marks.append(plan(recipe, workspace)[-1].mark(workspace))
    assert marks[0] != marks[1]


def test_a_card_written_anew_changes_no_mark_and_other_files_do(mine, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_text("one")
    (folder / "weights").write_text("w")
    found = []
    for file, text in (("README.md", "two!"), ("weights", "other")):
        found.append(plan(mine(f"model={folder}"), Workspace(tmp_path / "run"))[-1].facts)
        (folder / file).write_text(text)
    found.append(plan(mine(f"model={folder}"), Workspace(tmp_path / "run"))[-1].facts)
    assert found[0] == found[1] != found[2]
