"""The task reaches every place where a SpeechLM is asked: whoever asked it without would be found here."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rba import document
from rba.alignment.mix import check_task
from rba.alignment.settings import AdaptiveSettings, ValidationSettings
from rba.alignment.stage import run
from rba.errors import RecipeError
from rba.lm.preamble import Preamble
from rba.lm.task import NO_TASK, TaskSettings, preamble_of
from rba.models.compact import CompactSpeechLM
from rba.testing.tiny_speechlm import save_tiny_speechlm
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import StageFolder

from .conftest import SMALL

TASK = TaskSettings("Translate into Spanish: {}", "es")
ROWS = tiny_utterances(3, 1) + tiny_utterances(2, 1, "validation")
SETTINGS = replace(
    SMALL,
    steps=1,
    answers=2,
    reward="bleu",
    train_connector=True,
    validation=ValidationSettings(every=1, groups=2),
    adaptive=AdaptiveSettings(drift_every=1, drift_answers=2),
)
ASKING = {"bank", "checks", "policy", "rollout", "token_teacher", "engine"}
"""The modules of alignment that make prompts."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Every call for prompts, of speech or text: the module that made it, and what was to be said before and around."""
    calls: list[tuple[str, object]] = []
    for name in ("prompts", "text_prompts", "listen"):
        plain = getattr(CompactSpeechLM, name)

        def spied(self, rows, system=None, plain=plain):
            frame = sys._getframe(1)
            while "told" in (stem := Path(frame.f_code.co_filename).stem):
                frame = frame.f_back
            calls.append((stem, system))
            return plain(self, rows, system)

        monkeypatch.setattr(CompactSpeechLM, name, spied)
    return calls


def aligned(folder: Path, method: str, task: TaskSettings = TASK, **changes: object) -> StageFolder:
    stage = StageFolder(folder / "align" / method)
    stage.open(f"mark of {task.prompt}")
    base = folder / "base"
    run(
        replace(SETTINGS, **changes),
        method=method,
        folder=stage,
        seed=1,
        model=base if base.is_dir() else save_tiny_speechlm(base),
        utterances=ROWS,
        teacher="none",
        teacher_system=task.teaching(Preamble()),
        task=task,
        log=lambda record: None,
    )
    return stage


@pytest.mark.weights
def test_whoever_asks_asks_under_the_task(tmp_path: Path, asked):
    for method in ("rba-group", "kd", "tars"):  # a reward; the token teacher; typed self-samples
        aligned(tmp_path, method)
        assert {system for _, system in asked} == {preamble_of(TASK.prompt)}, method
    assert {module for module, _ in asked} == ASKING


def test_the_task_is_in_checkpoint_and_card_and_without_one_neither_says_anything(tmp_path: Path):
    told, plain = aligned(tmp_path, "sft").path / "model", aligned(tmp_path / "plain", "sft", NO_TASK).path / "model"
    assert json.loads((told / "speechlm.json").read_text())["task"] == TASK.prompt
    assert f"`{TASK.prompt}`" in (told / "README.md").read_text()
    assert "task" not in json.loads((plain / "speechlm.json").read_text())
    assert "Its task" not in (plain / "README.md").read_text()


def test_speech_and_answers_of_another_task_are_not_taken_for_this_ones(tmp_path: Path):
    shared = tmp_path / "align" / ".shared"
    aligned(tmp_path, "rba-group", train_connector=False)
    before = {path.name for path in shared.iterdir()}
    aligned(tmp_path, "rba-single", train_connector=False)
    assert {path.name for path in shared.iterdir()} == before
    other = TaskSettings("Translate into French: {}", "fr")
    aligned(tmp_path, "rba-group", other, train_connector=False)
    assert not {path.name for path in shared.iterdir()} & before


def test_runs_of_another_task_are_not_mixed_in(tmp_path: Path):
    (tmp_path / "config.yaml").write_text(document.dump({"name": "other", "task": {"prompt": TASK.prompt}}))
    check_task(str(tmp_path), TASK.prompt)
    with pytest.raises(RecipeError, match="another task"):
        check_task(str(tmp_path), "")
    (tmp_path / "config.yaml").write_text(document.dump({"name": "older"}))
    check_task(str(tmp_path), "")
    with pytest.raises(RecipeError, match=r"align\.mix"):
        check_task(str(tmp_path), TASK.prompt)
