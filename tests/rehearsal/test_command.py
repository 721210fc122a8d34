"""`rba run RECIPE --dry-run`: every stage is driven, a fault is one line with the recipe's names, nothing is left."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from rba.cli import main
from rba.evaluation.rendering import check_engines
from rba.recipe import load_recipe
from rba.rehearsal.checks import check
from rba.rehearsal.command import drive, is_drawn_from
from rba.rehearsal.driven import driven, left_out
from rba.rehearsal.mixed import INSTRUCTIONS
from rba.rehearsal.stand_ins import StandIns
from rba.rehearsal.standing import standing
from rba.synthesis.texts import read_texts
from rba.testing.tiny_lm import tiny_text_lm
from rba.testing.tiny_vllm import TinyVllm

from .runs import spoken_run

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:9/v1"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, in the working folder of the recipes."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["translate", "qa"])
def test_every_stage_of_a_recipe_is_driven(name: str, place: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", f"recipes/{name}.yaml", "--dry-run"]) == 0
    said = capsys.readouterr()
    stages = [line.split()[1].rstrip(",") for line in said.out.splitlines() if line.startswith("passed: ")]
    assert stages == ["synthesize", "speak", "align", "evaluate", "report"]
    assert "a tiny compact SpeechLM that hears through whisper" in said.out and "win_rate" not in said.out
    assert not list(place.glob("rba-dry-run-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_servers_processes_and_other_runs_are_driven_and_told_of(place: Path, capsys: pytest.CaptureFixture[str]):
    other = spoken_run(place / "other")
    words = ["align.methods=[grpo]", "align.refresh=online", "align.sharding=fsdp", "align.checkpoint=sharded"]
    words += ["align.rollout_server=openai:http://gpu:8000/v1?key_env=KEY#policy", "executor=ray"]
    recipe = load_recipe(ROOT / "recipes/tiny.yaml", [*words, f"align.mix=[{other}]"])
    run = drive(recipe, place / "dry")
    ends = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("driven", "left out"))]
    assert ends == [
        "driven: align.rollout_server: prompts as embeddings: 8; adapters: 1",
        "driven: align.sharding: alignment in 2 processes on this machine's CPU",
        "driven: executor: ray: synthesis and speech by 2 workers of a Ray on this machine",
        f"driven: align.mix: {other}",
    ]
    data = json.loads((run / "align/grpo/manifest.json").read_text())["notes"]["data"]
    assert data["instructions"] == 6 + INSTRUCTIONS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["align.stepz=3"], "unknown key (align.stepz); did you mean align.steps?"),
        (["align.methods=[rba]"], "align.methods: rba"),
        (["align.reward=no_such_module:reward"], "cannot import the reward"),
        (["speech.engine=hibari"], "this engine does not clone voices (hibari)"),
        (["speech.references=docs"], "no reference clips here (speech.references docs)"),
        (["speech.references=''"], "this engine clones voices and needs recordings"),
        (["align.reward_model=armorm"], "align.reward_model armorm"),
        (
            ["speech.engine=transformers:some/vits", "speech.references=''", "evaluate.conditions.names=[fast]"],
            "this engine keeps its own pace (transformers:some/vits)",
        ),
        (["model=org/unheard-of"], "nothing on this machine tells the class of the SpeechLM (model org/unheard-of)"),
        (["evaluate.benchmarks=[{name: x, format: manifest, source: ./none.jsonl}]"], "benchmark x has no data"),
    ],
)
def test_a_fault_is_one_line(words: list[str], said: str, place: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", "recipes/paper.yaml", *words, "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rba: error: ") and said in line
    assert not list(place.glob("rba-dry-run-*"))


@pytest.mark.slow
def test_a_fault_of_a_stage_has_the_recipes_own_names(place: Path, capsys: pytest.CaptureFixture[str]):
    served = "openai:http://localhost:9/v1#teacher"  # it writes no requests without its tokenizer
    assert main(["run", "recipes/tiny.yaml", f"teacher={served}", "--dry-run"]) == 2
    said = capsys.readouterr()
    assert "need the tokenizer of a served teacher" in said.err and "127.0.0.1" not in said.err
    assert "passed" not in said.out


def test_what_is_not_driven_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    words = ["teacher=openai:http://h/v1?tokenizer=x#m", "executor=ray", "align.dtype=bfloat16"]
    words += ["align.rollout_server=openai:http://h/v1#policy"]
    recipe = load_recipe(ROOT / "recipes/tiny.yaml", words)
    vllm = TinyVllm(tiny_text_lm, names=["policy"])
    assert list(left_out(recipe, vllm)) == [
        "align.rollout_server: nothing that is trained draws from it",
        "executor: ray: synthesis, which is asked of a server and takes no workers",
        "align.dtype: numbers are float32",
    ]
    assert list(driven(recipe, vllm)) == ["executor: ray: speech by 2 workers of a Ray on this machine"]
    monkeypatch.setattr("rba.rehearsal.driven.has_ray", lambda: False)
    assert "executor: ray: Ray is not installed here (pip install 'rba[ray]')" in " ".join(left_out(recipe, vllm))
    assert list(driven(recipe, vllm)) == []


@pytest.mark.parametrize(
    ("words", "drawn_from"),
    [
        (["align.methods=[sft, kd]"], False),
        (["align.methods=[grpo]"], True),
        (["align.methods=[sft]", "align.variants={more: {method: grpo}}"], True),
        (["align.methods=[sft]", "align.variants={more: {method: grpo, rollout_server: ''}}"], False),
    ],
)
def test_a_rollout_server_has_an_llm_only_where_something_draws_from_it(words: list[str], drawn_from: bool):
    server = "align.rollout_server=openai:http://h/v1#policy"
    assert is_drawn_from(load_recipe(ROOT / "recipes/tiny.yaml", [server, *words])) is drawn_from


def test_without_ray_a_recipe_that_asks_for_it_is_driven_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rba.rehearsal.standing.has_ray", lambda: False)
    recipe = load_recipe(ROOT / "recipes/tiny.yaml", ["executor=ray"])
    assert standing(recipe, StandIns(tmp_path / "made", ADDRESS), tmp_path / "run").cluster is None


def test_a_file_of_texts_behind_a_url_is_not_fetched(tmp_path: Path):
    recipe = load_recipe(ROOT / "recipes/tiny.yaml", ["synthesis.texts=s3://bucket/requests.jsonl.gz"])
    check(recipe)
    made = StandIns(tmp_path / "made", ADDRESS)
    tiny = standing(recipe, made, tmp_path / "run")
    texts = {given.text for given in read_texts(tiny.synthesis.texts)}
    assert len(texts) == 12 and "behind a URL" in made.told["s3://bucket/requests.jsonl.gz"]


def test_a_launcher_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    assert main(["run", "recipes/tiny.yaml", "--dry-run"]) == 2
    assert "one process" in capsys.readouterr().err


def test_an_accent_that_a_stand_in_lacks_is_left_out(tmp_path: Path):
    words = ["speech.engine=kokoro", "evaluate.conditions.names=[clean,accent]"]
    recipe = load_recipe(ROOT / "recipes/tiny.yaml", words)
    check(recipe)
    tiny = standing(recipe, StandIns(tmp_path / "made", ADDRESS), tmp_path / "run")
    check_engines(tiny.evaluate.conditions, {tiny.speech.engine}, tiny.speech)
    assert tiny.evaluate.conditions.names == ("clean",)
    assert any("accent" in line and "kokoro" in line for line in left_out(recipe, TinyVllm(tiny_text_lm)))
