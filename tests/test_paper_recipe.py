"""The paper's recipe: its figures, and its whole path with tiny models of the same classes behind servers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from services.fault_server import FaultServer, serving
from synthesis.stand_ins import GOOD

from rba.data import audio
from rba.data.seeds import rng
from rba.data.utterance import Utterance
from rba.evaluation.results import load_results
from rba.pipeline import run
from rba.recipe import load_recipe
from rba.testing.tiny_audio_lm import save_tiny_audio_lm
from rba.testing.tiny_lm import save_tiny_lm
from rba.testing.tiny_reward_model import save_tiny_reward_model
from rba.testing.tiny_utterances import tiny_wave
from rba.workspace import Workspace

RECIPE = Path(__file__).parents[1] / "recipes" / "paper.yaml"
SIZES = [
    "synthesis={train: 6, validation: 2, test: 2, shard_size: 12, batch: 12, near_duplicate: 0, split_distance: 0}",
    "speech={workers: 1, voices: 2}",
    "align={steps: 2, groups_per_step: 2, round_steps: 1, max_response: 16, dtype: float32}",
    "align.sample.max_new_tokens=6",
    "align.validation={every: 1, groups: 2}",
    "align.adaptive={drift_every: 1, drift_answers: 2}",
    "evaluate={instructions: 2, voices: 2, resamples: 100, cascade: '', dtype: float32}",
    "evaluate={answer: {max_new_tokens: 6}, again: {max_new_tokens: 6}}",
]


def served(path: str, payload: dict[str, Any]) -> Any:
    """A teacher that writes and answers, and a speech server that clones."""
    if path.endswith("audio/speech"):
        assert payload["ref_audio"].startswith("data:audio/") and payload["ref_text"] == "What the clip says."
        buffer, seed = io.BytesIO(), int(rng(json.dumps(payload)).integers(2**31))
        soundfile.write(buffer, tiny_wave(seed, 0.6), audio.SAMPLE_RATE, format="WAV")
        return buffer.getvalue()
    if path.endswith("chat/completions"):
        choice: dict[str, Any] = {"message": {"content": "You could ask a friend about that."}}
    else:
        choice = {"text": GOOD[payload["seed"] % len(GOOD)]}
    return {"choices": [{**choice, "finish_reason": "stop"}]}


def test_its_figures_are_the_papers():
    recipe = load_recipe(RECIPE)
    align = recipe.align
    assert (recipe.synthesis.train, recipe.synthesis.validation, recipe.synthesis.test) == (250_000, 8 * 128, 8 * 200)
    assert (min(recipe.synthesis.temperatures), max(recipe.synthesis.temperatures)) == (1.0, 1.2)
    assert (align.beta, align.lam, align.lr, recipe.speech.voices) == (0.1, 0.2, 1e-4, 4)
    assert round(align.warmup * align.steps) == 3000
    assert align.steps * align.groups_per_step == recipe.synthesis.train


@pytest.mark.slow
def test_its_whole_path_is_walked_by_tiny_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("rba.lm.embedder.SentenceEmbedder", Words)
    for person in range(40):
        clip = tmp_path / "people" / f"{person:02d}" / "clip.wav"
        clip.parent.mkdir(parents=True)
        clip.with_suffix(".normalized.txt").write_text("What the clip says.")
        soundfile.write(clip, np.tile(tiny_wave(person), 8), audio.SAMPLE_RATE)
    student = save_tiny_audio_lm(tmp_path / "student")
    teacher = save_tiny_lm(tmp_path / "teacher")
    judge = save_tiny_reward_model(tmp_path / "judge", kind="armorm")
    with serving(FaultServer(served)) as state:
        recipe = load_recipe(
            RECIPE,
            [
                *SIZES,
                f"output={tmp_path / 'run'}",
                f"teacher=openai:{state.url}?tokenizer={teacher}#teacher",
                f"model={student}",
                f"speech.engine=openai-clone:{state.url}#voice",
                f"speech.references={tmp_path / 'people'}",
                f"align.reward_model={judge}",
            ],
        )
        folder = run(recipe)
    spoken = Workspace(folder).stage("speech").read(Utterance)
    assert {u.engine for u in spoken} == {recipe.speech.engine} and all(u.speaker.startswith("clone-") for u in spoken)
    heard = {split: {u.speaker for u in spoken if u.split == split} for split in ("train", "test")}
    assert heard["train"].isdisjoint(heard["test"])
    found = load_results(folder)
    assert {r.model for r in found} >= {"base", "sft", "rba-single", "rba-group", "teacher", "text"}
    assert (folder / "report.html").stat().st_size > 10_000


class Words:
    """Stands in for the sentence embedder: hashed words in 64 dimensions."""

    def __init__(self, name: str = "", *_: Any):
        self.name = name

    def encode(self, texts: list[str]) -> np.ndarray:
        """Unit vectors [N, 64]."""
        rows = np.stack([sum(rng(word).standard_normal(64) for word in text.lower().split()) for text in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
