"""A SpeechLM that knows its task: the same prompts as when it is told each time, and a checkpoint that keeps it."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from rba.chat import ask
from rba.lm.preamble import Preamble
from rba.lm.sampling import Sampling
from rba.lm.task import preamble_of
from rba.models import turns
from rba.models.adapters import add_lora
from rba.models.load import load_speechlm
from rba.models.told import Told, task_of, told, untold
from rba.testing.tiny_audio_lm import tiny_audio_lm, tiny_audio_tokenizer
from rba.testing.tiny_speechlm import save_tiny_speechlm, tiny_speechlm

TASKS = ("Translate what you hear.", "Into Spanish: {}", "{} - in Spanish!")
WAVE = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)


@pytest.mark.parametrize("make", [tiny_speechlm, tiny_audio_lm])
@pytest.mark.parametrize("task", TASKS)
def test_whatever_is_asked_without_a_turn_is_asked_under_the_task(make, task):
    plain = make()
    model, system = told(plain, task), preamble_of(task)
    features = plain.encode([WAVE])
    for nothing in (None, "", Preamble()):
        assert torch.equal(model.prompts(features, nothing)[0], plain.prompts(features, system)[0])
        assert torch.equal(model.listen(features, nothing)[0][0], plain.prompts(features, system)[0])
        assert torch.equal(model.text_prompts(["A cat."], nothing)[0], plain.text_prompts(["A cat."], system)[0])
    assert not torch.equal(model.prompts(features)[0], plain.prompts(features)[0])
    assert torch.equal(model.prompts(features, "Be brief.")[0], plain.prompts(features, "Be brief.")[0])
    assert torch.equal(model.text_prompts(["A"], "Be brief.")[0], plain.text_prompts(["A"], "Be brief.")[0])


@pytest.mark.parametrize("make", [tiny_speechlm, tiny_audio_lm])
def test_speech_stands_where_the_words_would(make):
    """Before and after the place of what is said, spoken and typed prompts are the same rows."""
    model, task = make(), "Into Spanish: {} - at once!"
    (spoken,), (typed,) = (
        model.prompts(model.encode([WAVE]), preamble_of(task)),
        model.text_prompts(["x"], preamble_of(task)),
    )
    head = [torch.equal(a, b) for a, b in zip(spoken, typed)].index(False)
    tail = [torch.equal(a, b) for a, b in zip(spoken.flip(0), typed.flip(0))].index(False)
    assert head + len("x") + tail == len(typed)


def test_an_audio_template_writes_the_task_around_the_audio():
    tokenizer = tiny_audio_tokenizer()
    text = turns.render(tokenizer, turns.AUDIO, preamble_of("Into Spanish: {} - at once!"), "<|audio|>")
    assert "Into Spanish: <|audio_start|><|audio|><|audio_end|> - at once!<|im_end|>" in text
    typed = turns.render(tokenizer, "A cat.", preamble_of("Into Spanish: {}"))
    assert "user\nInto Spanish: A cat.<|im_end|>" in typed


def test_a_checkpoint_keeps_its_task(tmp_path):
    base = save_tiny_speechlm(tmp_path / "base")
    names = json.loads((base / "speechlm.json").read_text())
    told(load_speechlm(base, "float32"), TASKS[1]).save(tmp_path / "told")
    saved = json.loads((tmp_path / "told" / "speechlm.json").read_text())
    assert saved["task"] == TASKS[1] and "task" not in names
    opened = load_speechlm(tmp_path / "told", "float32")
    plain = load_speechlm(base, "float32")
    assert task_of(opened) == TASKS[1] and task_of(plain) == ""
    features, greedy = plain.encode([WAVE]), Sampling(0.0, 1.0, 4)
    assert torch.equal(opened.prompts(features)[0], plain.prompts(features, preamble_of(TASKS[1]))[0])
    assert ask(opened, WAVE, sampling=greedy) == ask(told(plain, TASKS[1]), WAVE, sampling=greedy)
    opened.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "speechlm.json").read_text()) == saved


def test_another_task_takes_the_place_of_the_first_and_no_task_leaves_it():
    model = told(tiny_speechlm(), "one")
    assert told(model, "") is model
    assert task_of(told(model, "two")) == "two" and not isinstance(untold(told(model, "two")), Told)
    assert told(untold(model), "") is untold(model)


def test_all_else_is_the_models_own():
    plain = tiny_audio_lm()
    model = told(plain, "one")
    add_lora(model, rank=2, targets=["q_proj"])
    assert model.lm.model is plain.lm.model and model.encoder_name == plain.encoder_name
    assert all("lora_" not in name or "language_model" in name for name, _ in plain.lm.model.named_parameters())
    assert next(model.connector_parameters()) is next(plain.connector_parameters())
    assert copy.copy(model).task == "one"
    with pytest.raises(AttributeError):
        _ = model.no_such_member
