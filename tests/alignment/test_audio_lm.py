"""An audio LM of transformers learns a few answers by heart, from its folder to its checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from rba.alignment.scorer import score
from rba.alignment.settings import ValidationSettings
from rba.alignment.stage import align
from rba.data import audio
from rba.lm import chat
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import save_tiny_audio_lm
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import StageFolder

from .conftest import SMALL, variety

SETTINGS = replace(SMALL, steps=12, lr=2e-2, warmup=0.0, validation=ValidationSettings(every=0), train_connector=True)


def likelihood(model: Any) -> float:
    """Mean log-prob a token of the teacher's answers to every training clip."""
    rows = tiny_utterances(3, 2)
    prompts = model.prompts(model.encode([audio.decode(row.audio) for row in rows]))
    answers = [chat.response_ids(model.lm.tokenizer, row.response, model.lm.end_ids[0]) for row in rows]
    with torch.no_grad():
        return float(torch.cat(score(model.lm, prompts, answers, 2048)).mean())


@pytest.mark.parametrize("method", ["rba-single", "rba-group"])
def test_it_learns_by_heart(method: str, tmp_path: Path):
    base, records = save_tiny_audio_lm(tmp_path / "base"), list[dict[str, Any]]()
    folder = StageFolder(tmp_path / "align" / method)
    folder.open("mark")
    speechlm = load_speechlm(base, "float32")
    before = likelihood(speechlm)
    align(
        speechlm,
        SETTINGS,
        method=method,
        folder=folder,
        seed=1,
        utterances=tiny_utterances(3, 2),
        reward=lambda: variety,
        log=records.append,
    )
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 12
    assert fmean(losses[-3:]) < 0.7 * fmean(losses[:3])
    after = load_speechlm(folder.path / "model", "float32")
    assert likelihood(after) > before + 1.0
    assert likelihood(after) == pytest.approx(likelihood(speechlm), abs=1e-4)
