"""Audio LMs of transformers learn a few answers by heart, from their folder to their checkpoint."""

from __future__ import annotations

from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from releases import needs

from rba.alignment.settings import ValidationSettings
from rba.alignment.stage import align
from rba.data import audio
from rba.lm import chat
from rba.lm.generation import generate
from rba.lm.sampling import Sampling
from rba.lm.scorer import score
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import save_tiny_audio_lm
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import StageFolder

from .conftest import SMALL, variety

SETTINGS = replace(SMALL, steps=20, lr=2e-2, warmup=0.0, validation=ValidationSettings(every=0), train_connector=True)


ROWS = tiny_utterances(3, 2)


def prompts(model: Any) -> list[torch.Tensor]:
    with torch.no_grad():
        return model.prompts(model.encode([audio.decode(row.audio) for row in ROWS]))


def likelihood(model: Any) -> float:
    """Mean log-prob a token of the teacher's answers to every training clip."""
    answers = [chat.response_ids(model.lm.tokenizer, row.response, model.lm.end_ids[0]) for row in ROWS]
    with torch.no_grad():
        return float(torch.cat(score(model.lm, prompts(model), answers, 2048)).mean())


def agreement(model: Any) -> float:
    """Mean share of characters that a greedy answer and the teacher's have in common, over all training clips."""
    answers = generate(model.lm, prompts(model), Sampling(temperature=0.0, max_new_tokens=16), [0] * len(ROWS))
    return fmean(SequenceMatcher(None, found.text, row.response).ratio() for (found,), row in zip(answers, ROWS))


@pytest.mark.parametrize(
    ("method", "family"),
    [
        ("rba-group", "qwen2_audio"),
        pytest.param("rba-single", "gemma3n", marks=needs("gemma3n")),
        pytest.param("rba-single", "gemma4", marks=needs("gemma4")),
        pytest.param("rba-group", "qwen3_omni_moe_thinker", marks=needs("qwen3_omni_moe_thinker")),
        ("rba-group", "ultravox"),
        ("rba-single", "desta25"),
        ("rba-single", "salmonn"),
    ],
)
def test_it_learns_by_heart(method: str, family: str, tmp_path: Path):
    base, records = save_tiny_audio_lm(tmp_path / "base", family), list[dict[str, Any]]()
    folder = StageFolder(tmp_path / "align" / method)
    folder.open("mark")
    speechlm = load_speechlm(base, "float32")
    before, babble = likelihood(speechlm), agreement(speechlm)
    align(
        speechlm,
        SETTINGS,
        method=method,
        folder=folder,
        seed=1,
        utterances=ROWS,
        reward=lambda: variety,
        log=records.append,
    )
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 20
    assert fmean(losses[-3:]) < 0.8 * fmean(losses[:3])
    after = load_speechlm(folder.path / "model", "float32")
    assert likelihood(after) > before + 1.0
    assert likelihood(after) == pytest.approx(likelihood(speechlm), abs=1e-4)
    assert agreement(after) > babble + 0.1
