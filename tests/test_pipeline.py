"""Whole runs with stages that take no time: their order, what they leave, single verbs, and what a kill leaves."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import fakes
import pytest
from fakes import STEPS, done, hashes
from services.fault_server import FaultServer, echo, serving

import rba
from rba.data.utterance import Utterance
from rba.errors import DataError, WorkspaceError
from rba.lm.sampling import Sampling
from rba.models.heard import HEARD
from rba.pipeline import VERBS, run
from rba.recipe import Recipe, load_recipe
from rba.teachers.load import load_teacher
from rba.workspace import Workspace

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(rba.__file__).parents[1])}


def root_seconds(root: Path, name: str) -> float:
    """The working time that a stage's manifest tells."""
    return Workspace(root).stage(name).manifest["seconds"]


def test_a_run_goes_from_teacher_to_report(mine, capsys):
    root = run(mine())
    assert done() == [*STEPS, "report"]
    assert (root / "report.html").read_text() == "<h1>mine</h1>\n"
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out] == [*STEPS, "results of results.json", "report", "whole run"]
    assert re.fullmatch(r"synthesis: done in \d+ s, peak memory \d\.\d GiB", out[0])


def test_every_stage_tells_what_served_llms_were_asked(mine, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))
    work = fakes.work

    def asking(name, index=0):
        work(name, index)
        if name in ("synthesis", "align/sft", "evaluation"):
            judge = load_teacher(f"openai:{state.url}?price_out=1000#big").told("Judge.")
            judge.answer([f"{name} {index}"], Sampling(0.0, 1.0, 8), [0])

    monkeypatch.setattr(fakes, "work", asking)
    with serving(FaultServer(echo)) as state:
        run(mine())
    told = [line for line in capsys.readouterr().out.splitlines() if "answers" in line]
    asked = "big: 2 answers, 0 from the cache, 20 tokens read, 8 written, cost 0.0080"
    assert told == [f"{name}: {asked}" for name in ("synthesis", "align/sft", "evaluation")]


def test_the_run_folder_holds_what_the_contract_names(mine):
    root = run(mine("seed=5"))
    assert load_recipe(root / "config.yaml") == mine("seed=5")
    assert len(json.loads((root / "evaluation" / "results.json").read_text())) == 3
    records = Workspace(root).records("run")
    assert [record["what"] for record in records] == list(STEPS)
    assert [record["seconds"] for record in records] == [root_seconds(root, name) for name in STEPS]
    assert all(record["seconds"] >= 0 and record["peak_gib"] > 0 for record in records)
    assert [r["step"] for r in Workspace(root).records("align/sft")] == [0, 1]


def test_final_models_are_copies_with_their_card_and_recipe(mine):
    root = run(mine())
    for method in ("sft", "rba-group"):
        model, final = root / "align" / method / "model", root / "final" / method
        assert (final / "README.md").read_text() == f"# {method}\n"
        assert (final / "part1.txt").read_text() == (model / "part1.txt").read_text()
        assert not (final / "part1.txt").samefile(model / "part1.txt")
        assert load_recipe(final / "recipe.yaml") == mine()


def test_an_unchanged_run_is_skipped_but_reported(mine, capsys):
    run(mine())
    done()
    capsys.readouterr()
    before = hashes(mine().folder)
    run(mine())
    assert done() == ["report"]
    assert capsys.readouterr().out.count("unchanged, skipped") == len(STEPS)
    assert hashes(mine().folder) == before


def test_a_bad_line_of_the_texts_is_told_before_anything_is_done(mine, tmp_path):
    (tmp_path / "texts.jsonl").write_text('{"text": "A cat."}\n{"txt": "A dog."}\n')
    with pytest.raises(DataError, match=r"texts\.jsonl, line 2"):
        run(mine(f"synthesis.texts={tmp_path / 'texts.jsonl'}"))
    assert done() == []


def test_a_recipe_with_a_model_of_its_own_needs_no_connect_stage(mine, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "speechlm.json").write_text("{}")
    (tmp_path / "model" / "w.txt").write_text("weights")
    own = f"model={tmp_path}/model"
    run(mine(own))
    assert "connect" not in done()
    (tmp_path / "model" / "w.txt").write_text("other weights")
    run(mine(own))
    assert done() == ["align/sft", "align/rba-group", "evaluation", "report"]


def test_a_lost_shard_is_made_again(mine):
    root = run(mine())
    before = hashes(root)
    done()
    (root / "speech" / "part-00001.parquet").unlink()
    run(mine())
    assert fakes.DONE == ["speech 1", "report 0"]
    assert hashes(root) == before


def test_a_truncated_shard_is_named_and_mended_by_deleting_it(mine):
    root = run(mine())
    shard = root / "speech" / "part-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"damaged \(.*part-00001\.parquet\); delete the file and run the stage again"):
        run(mine("align.lr=3e-4"))
    shard.unlink()
    run(mine("align.lr=3e-4"))


def test_a_lost_final_model_is_published_again_and_an_edited_card_stays(mine):
    root = run(mine())
    (root / "final" / "sft" / "README.md").write_text("my words")
    (root / "final" / "rba-group" / "part0.txt").unlink()
    run(mine())
    assert (root / "final" / "sft" / "README.md").read_text() == "my words"
    assert (root / "final" / "rba-group" / "part0.txt").is_file()


# One verb at a time


def test_a_finished_model_that_lacks_what_its_connector_heard_gets_it_without_training(mine):
    root = run(mine())
    (root / "final" / "sft" / "README.md").write_text("my words")
    (root / "connect" / "model" / HEARD).write_bytes(b"texts")
    done()
    run(mine())
    assert done() == ["report"]
    for folder in (root / "align" / "sft" / "model", root / "final" / "sft"):
        assert (folder / HEARD).read_bytes() == b"texts"
    assert (root / "final" / "sft" / "README.md").read_text() == "my words"


def test_the_verbs_one_by_one_do_what_a_run_does(mine):
    for verb in VERBS:
        run(mine(), verb)
    assert done() == [*STEPS, "report"]
    run(mine())
    assert done() == ["report"]


@pytest.mark.parametrize(
    ("verb", "ready", "first"),
    [
        ("speak", [], "rba synthesize"),
        ("align", ["synthesize"], "rba speak"),
        ("align", ["synthesize", "speak"], "rba connect"),
        ("evaluate", ["synthesize", "speak", "connect"], "rba align"),
        ("report", ["synthesize", "speak", "connect", "align"], "rba evaluate"),
    ],
)
def test_a_verb_without_its_inputs_names_the_one_to_run_first(mine, verb, ready, first):
    for earlier in ready:
        run(mine(), earlier)
    done()
    with pytest.raises(WorkspaceError, match=f"is not complete .*run {first} with this recipe first"):
        run(mine(), verb)
    assert done() == []


def test_a_verb_whose_inputs_are_of_other_settings_says_so(mine):
    root = run(mine())
    done()
    with pytest.raises(WorkspaceError, match=r"synthesis is out of date for this recipe .*run rba synthesize"):
        run(mine("synthesis.max_words=40"), "align")
    assert done() == [] and load_recipe(root / "config.yaml") == mine()


def test_the_connect_verb_explains_that_a_recipe_brings_its_own_model(mine, tmp_path):
    with pytest.raises(
        WorkspaceError, match=r'starts from a SpeechLM of its own \(model "shipped"\); add model=connect'
    ):
        run(mine("model=shipped"), "connect")


def test_an_unknown_verb_is_a_bug():
    with pytest.raises(ValueError, match="no verb 'fly'"):
        run(Recipe("x"), "fly")


# Kills


def start(recipe: Path, output: Path, pause: str = "") -> subprocess.Popen[str]:
    """`rba run` with fake stages in another process."""
    command = [sys.executable, fakes.__file__, "run", str(recipe), f"output={output}", "align.methods=[sft]"]
    environment = {**ENVIRONMENT, "PAUSE_AT": pause}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("where", ["synthesis", "speech", "connect", "align/sft", "evaluation"])
def test_a_run_killed_in_any_stage_ends_with_the_same_hashes(tmp_path, where, mine):
    recipe = tmp_path / "mine.yaml"
    victim = start(recipe, tmp_path / "killed", where)
    assert victim.stdout is not None
    assert any(line == f"paused in {where}\n" for line in victim.stdout)
    if where == "speech":
        second = start(recipe, tmp_path / "killed")
        _, err = second.communicate()
        assert second.returncode == 2 and err.count("\n") == 1 and "another run holds this folder" in err
    victim.kill()
    victim.communicate()
    quiet = run(mine(f"output={tmp_path}/quiet", "align.methods=[sft]"))
    resumed = run(mine(f"output={tmp_path}/killed", "align.methods=[sft]"))
    names = [name for name in STEPS if name != "align/rba-group"]
    one, other = hashes(quiet), hashes(resumed)
    assert [one[n] for n in names] == [other[n] for n in names]


# The real stages


@pytest.mark.parametrize(
    ("room", "fake"),
    [
        ("synthesis", fakes.synthesize),
        ("speech", fakes.speak),
        ("connect", fakes.connect),
        ("alignment", fakes.align),
        ("evaluation", fakes.evaluate),
    ],
)
def test_the_real_stages_take_what_the_fakes_take(room, fake):
    real = inspect.signature(importlib.import_module(f"rba.{room}.stage").run)
    arguments = {p.name: None for p in inspect.signature(fake).parameters.values() if p.kind is p.KEYWORD_ONLY}
    real.bind(None, **arguments)


def test_another_runs_instructions_can_be_mixed_into_training(mine, tmp_path):
    other = Workspace(tmp_path / "other").stage("speech")
    sound = b"x"
    rows = [
        Utterance(f"{i}-0", i, 0, f"say {i}", "", "", "", "train", "fake", "nobody", 1, "", 0.1, None, sound)
        for i in "xy"
    ]
    run(mine())
    alone = hashes(tmp_path / "run")
    with pytest.raises(WorkspaceError, match="no finished speech"):
        run(mine(f"align.mix=[{tmp_path}/other]"))
    other.open("mark")
    other.write_shard(0, rows, Utterance)
    other.complete()
    done()
    run(mine(f"align.mix=[{tmp_path}/other]"))
    assert done() == ["align/sft", "align/rba-group", "evaluation", "report"]
    assert hashes(tmp_path / "run")["align/sft"] != alone["align/sft"]
    run(mine(f"align.mix=[{tmp_path}/other]"))
    assert done() == ["report"]
