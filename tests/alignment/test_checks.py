"""A model that does not listen is refused before it is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rba.alignment.checks import audio_effect, check_audio_matters
from rba.alignment.prepare import prepare
from rba.alignment.stage import align
from rba.errors import ModelError
from rba.workspace import StageFolder

from .conftest import SMALL, Bench


def test_blocks_that_cannot_be_run_again_are_refused_before_any_work(bench: Bench, tmp_path: Path):
    speechlm = bench.speechlm
    speechlm.lm.model.config.num_kv_shared_layers = 1
    speechlm.encode = None
    settings, folder = replace(SMALL, gradient_checkpointing=True), StageFolder(tmp_path / "align" / "sft")
    with pytest.raises(ModelError, match="gradient_checkpointing"):
        align(speechlm, settings, method="sft", folder=folder, seed=1, utterances=bench.utterances, reward=lambda: None)


class Deaf:
    """A SpeechLM that answers its own prompt, whatever is said."""

    def __init__(self, hearing):
        self.lm, self.name, self.encode = hearing.lm, "deaf", hearing.encode

    def prompts(self, features, system=None):
        return self.lm_prompts(len(features))

    def lm_prompts(self, n: int) -> list[torch.Tensor]:
        return [self.lm.embed([4, 5, 6]) for _ in range(n)]


def test_a_model_that_listens_passes(bench: Bench):
    assert check_audio_matters(bench.speechlm, bench.utterances, bench.groups, SMALL) > 0.01


def test_a_deaf_model_is_refused_in_one_line(bench: Bench, tmp_path: Path):
    with pytest.raises(ModelError, match="does not listen") as refusal:
        prepare(Deaf(bench.speechlm), bench.utterances, SMALL, 0, mark="", shared=tmp_path)
    assert "\n" not in str(refusal.value)


def test_the_effect_of_the_audio_on_a_deaf_model_is_nil(bench: Bench):
    from rba.data import audio

    waves = [audio.decode(u.audio) for u in bench.utterances[:2]]
    assert audio_effect(Deaf(bench.speechlm), waves, [(5, 2), (6, 7, 2)], SMALL) == 0
