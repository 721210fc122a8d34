"""`rba plan` on the command line: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rba import cli
from rba.plan.assumptions import Assumptions
from rba.plan.words import number, size
from rba.testing.tiny_speechlm import save_tiny_speechlm

from .conftest import TOY

SERVED = ["teacher=openai:http://host/v1#org/large"]


@pytest.fixture
def recipe(tmp_path: Path, bare: Path) -> tuple[str, str, str]:
    """The words that name the toy recipe."""
    (tmp_path / "toy.yaml").write_text(TOY)
    return (str(tmp_path / "toy.yaml"), f"model={bare}", f"teacher={bare / 'llm'}")


def test_it_prints_every_stage_and_what_was_assumed(recipe, capsys):
    assert cli.main(["plan", *recipe, "--assume", "words=12"]) == 0
    said = capsys.readouterr().out
    for line in ("synthesis", "speech", "align (shared)", "align/sft", "evaluation", "all"):
        assert f"\n{line} " in said
    assert "words=12*" in said and all(name in said for name in Assumptions.__dataclass_fields__)
    assert "memory at the peak" in said and "not known" not in said


def test_a_variant_may_be_an_opponent(recipe, capsys):
    mine = ["align.variants={mine: {method: rba-group, beta: 0.5}}", "evaluate.opponents=[base, mine]"]
    assert cli.main(["plan", *recipe, *mine]) == 0
    assert "align/mine" in capsys.readouterr().out


def test_json_holds_the_same_plan(recipe, capsys, tmp_path: Path):
    assert cli.main(["plan", *recipe, "--json", str(tmp_path / "plan.json")]) == 0
    plan = json.loads((tmp_path / "plan.json").read_text())
    stages = {stage["name"]: stage for stage in plan["stages"]}
    spoken = stages["speech"]["items"][0]
    assert (spoken["what"], spoken["count"]) == ("utterances spoken", 16)
    assert stages["align/sft"]["items"][0]["flops"] > 0 and stages["align/sft"]["peak_bytes"]["local"] > 0
    assert plan["assumptions"]["kept"] == Assumptions().kept and plan["probe"] is None


@pytest.mark.slow
def test_a_probe_measures_this_machine(recipe, capsys, tmp_path: Path):
    words = [recipe[0], f"model={save_tiny_speechlm(tmp_path / 'speechlm')}", recipe[2]]
    assert cli.main(["plan", *words, "--probe", "--json", str(tmp_path / "p.json")]) == 0
    said = capsys.readouterr().out
    plan = json.loads((tmp_path / "p.json").read_text())
    assert "probe:" in said and "clock" in said
    assert plan["local"]["flops"] == plan["probe"]["flops"] > 1e8 and plan["probe"]["speech_speed"] > 0
    assert stages_take_time(plan)


def stages_take_time(plan) -> bool:
    """Whether there is a time on the clock for all that takes any."""
    return all(stage["wall_hours"] > 0 for stage in plan["stages"] if stage["device_hours"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["align.stepz=3"], "unknown key (align.stepz); did you mean align.steps?"),
        (["teacher=smollm2-135m-instrukt"], 'did you mean "smollm2-135m-instruct"?'),
        (["model=no-such-model"], "no SpeechLM checkpoint here"),
        (["model=connect", "connect.llm=org/other"], "the shipped connector belongs to another encoder or LLM"),
        (["teacher=openai:http://host/v1"], "a server's name cannot work"),
        (["speech.engine=parrot"], "unknown speech engine (parrot)"),
        (["--assume", "wordz=3"], "unknown key (--assume wordz); did you mean words?"),
        (["--assume", "kept=2"], "this value cannot work (--assume kept=2"),
        (["--assume", "kept=0.9"], "more is kept than is answered"),
        (["--assume", "words=many"], "--assume words"),
        (["--assume", "drawn_tokens=.inf"], "--assume drawn_tokens"),
        (["--gpus", "-1"], "--gpus -1"),
        (["--tflops", "0"], "--tflops 0"),
        (["--shape", "org/model"], "a shape is written MODEL=FILE"),
        ([*SERVED, "--shape", "org/lrage=c.json"], "no such model (--shape org/lrage); did you mean org/large?"),
        (["--shape", "xyzzy=c.json"], "needs the shape of no such model (--shape xyzzy); it needs "),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(recipe, capsys, words: list[str], said: str):
    assert cli.main(["plan", *recipe, *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("rba: error: ") and error.count("\n") == 1 and said in error


def test_a_shape_that_is_no_file_is_refused(recipe, capsys):
    assert cli.main(["plan", *recipe[:2], "teacher=org/model", "--shape", "org/model=nowhere.json"]) == 2
    assert "nowhere.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (7.25, "7.25"),
        (999.4, "999"),
        (999.6, "1 k"),
        (1_010_496, "1.01 M"),
        (1.68e20, "168 E"),
        (2e23, "200 Z"),
    ],
)
def test_numbers_have_three_digits(value: float, said: str):
    assert number(value) == said


def test_bytes_are_binary():
    assert (size(512), size(3 * 2**20), size(1.5 * 2**30), size(2**41)) == ("0.5 KiB", "3 MiB", "1.5 GiB", "2 TiB")
