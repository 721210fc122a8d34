"""Recognisers that are loaded here, by their family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rba.errors import ModelError
from rba.speech.moonshine import MoonshineTranscriber
from rba.speech.recogniser import KINDS, load_recogniser, prepare
from rba.speech.whisper import Transcriber
from rba.speech.word_errors import wer
from rba.testing.tiny_recogniser import save_tiny_recogniser


@pytest.fixture(scope="module")
def tiny_moonshine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Moonshine that never ends by itself."""
    return save_tiny_recogniser(tmp_path_factory.mktemp("recogniser") / "moonshine", "moonshine")


@pytest.fixture(scope="module")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Whisper that hears one sign in everything."""
    return save_tiny_recogniser(tmp_path_factory.mktemp("recogniser") / "whisper")


def test_moonshine_hears_each_clip_alone_and_writes_no_more_than_it_can_hold(tiny_moonshine: Path):
    rng = np.random.default_rng(1)
    waves = [rng.normal(0, 0.1, n).astype(np.float32) for n in (16_000, 40_000, 1_600)]
    recogniser = load_recogniser(str(tiny_moonshine))
    assert isinstance(recogniser, MoonshineTranscriber)
    together = recogniser.transcribe(waves)
    assert together == [recogniser.transcribe([wave])[0] for wave in waves] and all(together)
    steps = []
    inner = recogniser._model.generate
    recogniser._model.generate = lambda *a, **k: steps.append(out := inner(*a, **k)) or out
    recogniser.transcribe(waves)
    assert [ids.shape[1] - 1 for ids in steps] == [6, 16, 6]  # 6.5 a second, at least 6, whatever its own limit is


def test_the_tiny_whisper_hears_a_sign_and_ends(tiny_whisper: Path):
    heard = load_recogniser(str(tiny_whisper)).transcribe([np.full(16_000, 0.1, np.float32)] * 2)
    assert heard[0] == heard[1] and len(heard[0]) <= 1


def test_another_family_is_refused_before_its_weights_are_read(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for refuse in (prepare, load_recogniser):
        with pytest.raises(ModelError, match=f'made of a "bert".*{", ".join(KINDS)}.*server'):
            refuse(str(tmp_path))


def test_a_folder_without_a_model_and_a_typo_are_named(tmp_path: Path):
    with pytest.raises(ModelError, match="cannot load the speech recogniser"):
        prepare(str(tmp_path))
    with pytest.raises(ModelError, match="moonshine-base-en"):
        prepare("moonshine-base")


@pytest.mark.weights
def test_whisper_and_moonshine_hear_the_same(engine, weights):
    from rba.speech.speaker import Speaker

    text = "What is the capital of Australia?"
    wave = engine.say(text, Speaker("plain"), 0)
    for name, kind in (("whisper-tiny.en", Transcriber), ("moonshine-base-en", MoonshineTranscriber)):
        weights(name)
        recogniser = load_recogniser(name, threads=1)
        assert isinstance(recogniser, kind)
        assert wer(text, recogniser.transcribe([wave])[0]) == 0
