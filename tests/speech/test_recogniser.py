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
from rba.weights.moonshine import tokenizer_of


@pytest.fixture(scope="module")
def tiny_moonshine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Moonshine that never ends by itself."""
    import torch
    from transformers import GenerationConfig, MoonshineConfig, MoonshineForConditionalGeneration

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("moonshine")
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "decoder_start_token_id": 1}
    sizes = {
        f"{side}_{key}": 2 for side in ("encoder", "decoder") for key in ("num_hidden_layers", "num_attention_heads")
    }
    config = MoonshineConfig(hidden_size=32, intermediate_size=64, vocab_size=320, **sizes, **special)
    model = MoonshineForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**special, suppress_tokens=[0, 1, 2], max_length=9)
    model.save_pretrained(folder)
    letters = [f"{chr(97 + i)}{chr(97 + j)}".encode() for i in range(8) for j in range(8)][:61]
    tokenizer_of([b"<unk>", b"<s>", b"</s>", *(bytes([i]) for i in range(256)), *letters]).save_pretrained(folder)
    return folder


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
