"""The translation recipe: its whole path with tiny models, a teacher behind a server, and BLEU as the reward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from services.fault_server import FaultServer, serving

from rba.alignment.rollout import Drawn, Valued
from rba.data import shards
from rba.data.instruction import Instruction
from rba.data.utterance import Utterance
from rba.evaluation.results import load_results
from rba.models.load import load_speechlm
from rba.models.told import task_of
from rba.pipeline import run
from rba.recipe import load_recipe
from rba.synthesis.texts import read_texts
from rba.testing.tiny_embedder import save_tiny_embedder
from rba.testing.tiny_recogniser import save_tiny_recogniser
from rba.testing.tiny_speechlm import save_tiny_speechlm
from rba.workspace import Workspace

ROOT = Path(__file__).parents[1]
SIZES = [
    "synthesis={train: 4, validation: 2, test: 3, shard_size: 12, batch: 12, near_duplicate: 0, split_distance: 0}",
    "speech={workers: 1, acoustics: clean}",
    "align={methods: [sft, rba-group], steps: 2, groups_per_step: 2, max_response: 16, dtype: float32}",
    "align.sample.max_new_tokens=6",
    "align.validation={every: 2, groups: 2, by: reward}",
    "align.adaptive={drift_every: 2, drift_answers: 2}",
    "evaluate={instructions: 3, teacher_again: 3, resamples: 100, dtype: float32}",
    "evaluate={answer: {max_new_tokens: 6}, again: {max_new_tokens: 6}}",
]


def translated(path: str, payload: dict[str, Any]) -> Any:
    """A teacher that "translates" what it is told to, and nothing else."""
    assert path.endswith("chat/completions")
    system, *shown, asked = payload["messages"]
    before = "Translate into Spanish: "
    assert system["role"] == "system" and len(shown) == 6
    assert all(turn["content"].startswith(before) for turn in (*shown[::2], asked))
    answer = "uno dos " + asked["content"].removeprefix(before)[::-1]
    return {"choices": [{"message": {"content": answer}, "finish_reason": "stop"}]}


@pytest.mark.slow
def test_its_whole_path_is_walked_by_tiny_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))
    model, embedder = save_tiny_speechlm(tmp_path / "student"), save_tiny_embedder(tmp_path / "embedder")
    tiny = [f"model={model}", f"synthesis.embedder={embedder}", f"evaluate.embedder={embedder}"]
    tiny += [f"evaluate.cascade={save_tiny_recogniser(tmp_path / 'recogniser')}"]
    with serving(FaultServer(translated)) as state:
        recipe = load_recipe(
            "recipes/translate.yaml",
            [*SIZES, *tiny, f"output={tmp_path / 'run'}", f"teacher=openai:{state.url}#teacher"],
        )
        workspace = Workspace(run(recipe))
    given = {row.text for row in read_texts("recipes/translate/sentences.txt")}
    rows = workspace.stage("synthesis").read(Instruction)
    assert {row.text for row in rows} <= given and all(row.response.startswith("uno dos ") for row in rows)
    spoken = {u.id for u in workspace.stage("speech").read(Utterance) if u.split == "train"}
    (own,) = workspace.root.glob("align/.shared/answers-*/round-*.parquet")
    drawn = shards.read(own, Drawn)
    assert {(d.utterance_id, d.member) for d in drawn} == {(u, k) for u in spoken for k in range(4)}
    (rewards,) = own.parent.glob(f"rewards-*-{own.name}")
    valued = shards.read(rewards, Valued)
    assert {tuple(v.names) for v in valued} == {("bleu",)} and len(valued) == len(drawn)
    assert "bleu" in workspace.stage("align/rba-group").notes["reward_signatures"]
    assert all("validation/reward" in r for r in workspace.records("align/rba-group") if r["step"] in (0, 2))
    found = load_results(workspace.root)
    for metric in ("bleu", "chrf", "win_rate:bleu", "win_rate:chrf"):
        models = {r.model for r in found if r.benchmark == "heldout" and r.metric == metric}
        assert {"sft", "rba-group", "text", "cascade"} <= models, metric
    assert "tok:13a" in workspace.stage("evaluation").notes["signatures"]["heldout"]["bleu"]
    for method in recipe.align.methods:
        final = workspace.root / "final" / method
        assert json.loads((final / "speechlm.json").read_text())["task"] == recipe.task.prompt
        assert task_of(load_speechlm(final, "float32")) == recipe.task.prompt
        assert recipe.task.prompt in (final / "README.md").read_text()


def test_its_sentences_are_those_that_its_command_makes(capsys: pytest.CaptureFixture[str]):
    import runpy

    runpy.run_path(str(ROOT / "recipes" / "translate" / "sentences.py"), run_name="__main__")
    assert capsys.readouterr().out == (ROOT / "recipes" / "translate" / "sentences.txt").read_text()
