"""The paper's recipe: its figures, and its whole path as a dry run drives it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from rba.cli import main
from rba.data.utterance import Utterance
from rba.evaluation.results import load_results
from rba.recipe import load_recipe
from rba.workspace import Workspace

RECIPE = Path(__file__).parents[1] / "recipes" / "paper.yaml"


def test_its_figures_are_the_papers():
    recipe = load_recipe(RECIPE)
    align = recipe.align
    assert (recipe.synthesis.train, recipe.synthesis.validation, recipe.synthesis.test) == (250_000, 8 * 128, 8 * 200)
    assert (min(recipe.synthesis.temperatures), max(recipe.synthesis.temperatures)) == (1.0, 1.2)
    assert (align.beta, align.lam, align.lr, recipe.speech.voices) == (0.1, 0.2, 1e-4, 4)
    assert round(align.warmup * align.steps) == 3000
    assert align.steps * align.groups_per_step == recipe.synthesis.train


@pytest.mark.slow
def test_its_whole_path_is_walked_by_a_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("rba.rehearsal.command.TemporaryDirectory", lambda **_: nullcontext(str(tmp_path)))
    assert main(["run", str(RECIPE), f"speech.references={tmp_path / 'LibriTTS'}", "--dry-run"]) == 0
    said = capsys.readouterr().out
    for stand_in in ("a tiny Llama behind a server", "a tiny Qwen2-Audio", "a speech server", "a tiny ArmoRM"):
        assert f": {stand_in}" in said
    folder = tmp_path / "run"
    spoken = Workspace(folder).stage("speech").read(Utterance)
    assert all(u.engine.startswith("openai-clone:http://127.0.0.1:") for u in spoken)
    assert all(u.speaker.startswith("clone-") for u in spoken)
    heard = {split: {u.speaker for u in spoken if u.split == split} for split in ("train", "test")}
    assert heard["train"].isdisjoint(heard["test"])
    assert {"base", "sft", "rba-single", "rba-group", "teacher", "text"} <= {r.model for r in load_results(folder)}
    assert (folder / "report.html").stat().st_size > 10_000
