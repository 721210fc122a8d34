"""Converted models behave like the originals: tied, trainable, and speaking and hearing sensibly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rba.weights.registry import SOURCES

pytestmark = pytest.mark.weights

SENTENCE = "The weather in London is cold and wet today."


@pytest.fixture(scope="module")
def smollm2(weights):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = weights("smollm2-135m-instruct")
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_smollm2_is_dense_tied_and_bfloat16(smollm2):
    import torch

    model, _ = smollm2
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_smollm2_can_be_trained(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("Good morning to you.", return_tensors="pt").input_ids
    model.zero_grad()
    model(inputs_embeds=model.get_input_embeddings()(ids), labels=ids).loss.backward()
    assert all(p.requires_grad for p in model.parameters())
    assert model.model.layers[0].mlp.up_proj.weight.grad.abs().sum() > 0


def test_smollm2_pads_left_with_a_token_that_ends_nothing_in_training(smollm2):
    model, tokenizer = smollm2
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.padding_side == "left"
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id, tokenizer.pad_token_id]


def test_smollm2_answers_in_its_chat_template(smollm2):
    model, tokenizer = smollm2
    turn = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(out) and out[-1] == tokenizer.eos_token_id


@pytest.fixture(scope="module")
def spoken() -> np.ndarray:
    """SENTENCE as 16 kHz mono samples, from a synthesiser that shares nothing with Whisper."""
    import soxr
    from hibari import Hibari

    return soxr.resample(Hibari()(SENTENCE, seed=0), 24_000, 16_000)


def test_whisper_hears_what_was_said(weights, spoken):
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    folder = weights("whisper-tiny.en")
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    processor = WhisperProcessor.from_pretrained(folder)
    features = processor(spoken, sampling_rate=16_000, return_tensors="pt").input_features
    heard = processor.batch_decode(model.generate(features), skip_special_tokens=True)[0]
    assert heard.strip() == SENTENCE


def test_whispers_tokenizer_covers_the_vocabulary_and_joins_a_space_with_t(weights):
    from transformers import AutoTokenizer, WhisperConfig

    folder = weights("whisper-tiny.en")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == WhisperConfig.from_pretrained(folder).vocab_size
    assert tokenizer(" there", add_special_tokens=False).input_ids == [612]
    assert tokenizer.convert_tokens_to_ids("<|30.00|>") == len(tokenizer) - 1


def test_a_sentence_embedder_puts_a_paraphrase_nearer_than_another_topic(weights):
    from transformers import AutoModel, AutoTokenizer

    folder = weights("all-minilm-l6-v2")
    texts = ["How do I bake bread?", "Give me a recipe for a loaf.", "The stock market fell sharply."]
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    mask_BT1 = batch["attention_mask"][..., None]
    states_BTD = AutoModel.from_pretrained(folder)(**batch).last_hidden_state
    mean_BD = (states_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)
    unit_BD = mean_BD / mean_BD.norm(dim=-1, keepdim=True)
    assert unit_BD[0] @ unit_BD[1] > unit_BD[0] @ unit_BD[2] + 0.2


def test_the_cached_folder_says_where_it_came_from(weights):
    from pathlib import Path

    facts = json.loads((Path(weights("smollm2-135m-instruct")) / "source.json").read_text())
    source = SOURCES["smollm2-135m-instruct"]
    assert (facts["licence"], facts["sha256"]) == (source.licence, source.origins[0].hashes)
