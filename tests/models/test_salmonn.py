"""SALMONN: what both towers hear side by side, windows, turns, and its publisher's files."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.beats_files import published as published_beats
from models.beats_files import save_beats
from rewritten import rewrite
from safetensors.torch import load_file

from rba.errors import ModelError
from rba.lm.preamble import Example, Preamble
from rba.lm.scorer import score
from rba.models import turns
from rba.models.families import FILES_ALONE, check_published
from rba.models.fbank import fbank
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import save_tiny_audio_lm, tiny_audio_lm
from rba.testing.tiny_audio_parts import SECONDS
from rba.testing.tiny_utterances import tiny_wave
from rba.weights.mark import folder_mark

ANSWER = [40, 41, 42, 2]
ROWS = 29
"""Windows of 17 frames in the 500 of ten seconds."""
RANK, ALPHA = 8, 32
Weights = dict[str, torch.Tensor]


@torch.no_grad()
def logp(model: Any) -> torch.Tensor:
    return score(model.lm, model.prompts(model.encode([tiny_wave(0)])), [ANSWER], 512)[0]


def noise(seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(round(16_000 * seconds))).astype(np.float32)


@torch.no_grad()
def test_beats_hears_the_clip_beside_whisper_and_nothing_stands_behind_it():
    model: Any = tiny_audio_lm("salmonn")
    (feature,) = model.encode([wave := noise(3.0)])
    ears, bank = model.core.ears, fbank(wave)
    mel = model.processor.ears([wave], sampling_rate=16_000, return_tensors="pt")["input_features"]
    speech = ears.ln_speech(ears.speech_encoder(mel).last_hidden_state[0])
    audio = ears.ln_audio(ears.beats(bank[None])[0])
    assert (len(speech), len(audio)) == (50 * SECONDS, 8 * (len(bank) // 16))
    torch.testing.assert_close(feature[:, :16], speech, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(feature[: len(audio), 16:], audio, atol=1e-5, rtol=1e-5)
    assert not feature[len(audio) :, 16:].any()


@torch.no_grad()
def test_a_row_is_what_queries_read_of_one_window():
    connector = tiny_audio_lm("salmonn").core.connector
    states = torch.randn(1, 500, 28, generator=torch.Generator().manual_seed(0))
    rows = connector(states)[0]
    assert len(rows) == ROWS
    for window in (0, 11, ROWS - 1):
        heard = states[:, 17 * window : 17 * (window + 1)]
        read = connector.qformer(connector.query_tokens, encoder_hidden_states=heard).last_hidden_state
        torch.testing.assert_close(rows[window], connector.proj(read)[0, 0], atol=1e-5, rtol=1e-5)
    assert all(layer.has_cross_attention for layer in connector.qformer.encoder.layer)


@pytest.mark.parametrize("seconds", [0.01, 2.0, SECONDS + 3.0])
def test_every_clip_takes_as_many_rows_is_filled_up_to_a_second_and_cut_where_whisper_ends(seconds: float):
    model: Any = tiny_audio_lm("salmonn")
    wave = noise(seconds)
    inputs = model.inputs(wave)
    assert int((inputs["input_ids"] == model.core.config.audio_token_index).sum()) == ROWS
    (feature,) = model.encode([wave])
    (same,) = model.encode([np.pad(wave, (0, max(0, 16_000 - len(wave))))[: 16_000 * SECONDS]])
    assert torch.equal(feature, same)


def test_turns_are_those_of_its_publisher():
    tokenizer = tiny_audio_lm("salmonn").lm.tokenizer
    asked = Preamble("Be brief.", (Example("Who?", "Me."),), after=" What is said?")
    text = turns.render(tokenizer, turns.AUDIO, asked, "<SpeechHere>")
    assert text == (
        "Be brief. USER: Who? What is said?\nASSISTANT: Me.<|im_end|>"
        "USER: <Speech><SpeechHere></Speech> What is said?\nASSISTANT:"
    )


@torch.no_grad()
def test_what_stands_around_a_clip_is_put_into_tokens_piece_by_piece():
    model: Any = tiny_audio_lm("salmonn")
    ids = model.inputs(tiny_wave(0), Preamble(after=" Why?"))["input_ids"][0].tolist()
    tokenizer = model.lm.tokenizer
    pieces = [tokenizer(text)["input_ids"] for text in ("USER: <Speech>", "</Speech> Why?\nASSISTANT:")]
    assert ids == [*pieces[0], *[model.core.config.audio_token_index] * ROWS, *pieces[1]]


PUBLISHED = {
    r"^connector\.query_tokens$": "speech_query_tokens",
    r"^connector\.proj\.": "speech_llama_proj.",
    r"^connector\.qformer\.layernorm\.": "speech_Qformer.bert.embeddings.LayerNorm.",
    r"^connector\.qformer\.": "speech_Qformer.bert.",
    r"attention\.attention\.": "attention.self.",
    r"^ears\.": "",
}


def as_published(folder: Path, bases: Path, **keys: Any) -> tuple[Path, Weights]:
    """A saved SALMONN in its publisher's form, and the products of its adapter by the LLM's weights."""
    model: Any = load_speechlm(folder, "float32")
    core = model.core
    core.llama_model.config.pad_token_id = None  # as Llama has it
    core.llama_model.save_pretrained(bases / "llm")
    model.lm.tokenizer.save_pretrained(bases / "llm")
    save_whisper(core, bases / "whisper")
    model.processor.ears.save_pretrained(bases / "whisper")
    folder = bases / "salmonn"
    folder.mkdir()
    save_beats(folder / "beats.pt", published_beats(core.ears.beats.state_dict()))
    held: Weights = {}
    for key, weight in core.state_dict().items():
        if key.startswith(("connector.", "ears.ln_")):
            for pattern, name in PUBLISHED.items():
                key = re.sub(pattern, name, key)
            held[key] = weight
    products, generator = dict[str, torch.Tensor](), torch.Generator().manual_seed(0)
    for name, weight in core.llama_model.named_parameters():
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            at = f"llama_model.base_model.model.{name.removesuffix('.weight')}"
            down, up = (0.2 * torch.randn(s, generator=generator) for s in ((RANK, 32), (len(weight), RANK)))
            held |= {f"{at}.lora_A.default.weight": down, f"{at}.lora_B.default.weight": up}
            products[name] = ALPHA / RANK * up @ down
    # what its publisher's code saves beside: buffers, and the table of distances by its other names
    held["speech_Qformer.bert.embeddings.position_ids"] = torch.arange(512)[None]
    held["llama_model.base_model.model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    held["beats.encoder.layers.1.self_attn.relative_attention_bias.weight"] = torch.ones(32, 2)
    torch.save({"model": held, "optimizer": {"state": {}}, "config": {}, "scaler": None, "epoch": 3}, folder / "v1.pth")
    named = {"llama_path": str(bases / "llm"), "whisper_path": str(bases / "whisper")}
    tree = {"model_type": "salmonn", **named, "beats_path": "beats.pt", "ckpt": "v1.pth"}
    sizes = {"qformer_config": core.config.qformer_config, "lora": True, "lora_rank": RANK, "end_sym": "</s>"}
    (folder / "config.json").write_text(json.dumps({**tree, **sizes, **keys}))
    return folder, products


def save_whisper(core: Any, folder: Path) -> None:
    """A whole Whisper around the encoder."""
    from transformers import WhisperModel

    writing = {"vocab_size": 20, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 1}
    config = type(core.config.encoder_config)(**{**core.config.encoder_config.to_dict(), **writing, **special})
    whisper = WhisperModel(config)
    whisper.encoder.load_state_dict(core.ears.speech_encoder.state_dict())
    whisper.save_pretrained(folder)


def test_its_publishers_files_open_as_the_same_weights_with_the_adapter_merged(tmp_path: Path):
    whole = save_tiny_audio_lm(tmp_path / "whole", "salmonn")
    folder, products = as_published(whole, tmp_path)
    state = load_speechlm(whole, "float32").core.state_dict()  # type: ignore[attr-defined]
    model: Any = load_speechlm(folder, "float32")
    found = model.core.state_dict()
    assert found.keys() == state.keys() and len(products) == 4
    for key, weight in state.items():
        wanted = weight + products.get(key.removeprefix("llama_model."), 0)
        torch.testing.assert_close(found[key], wanted, atol=1e-5, rtol=1e-5)
    assert (logp(model) - logp(load_speechlm(whole, "float32"))).abs().max() > 0.1


def test_one_opened_from_them_is_saved_whole(tmp_path: Path):
    folder, _ = as_published(save_tiny_audio_lm(tmp_path / "whole", "salmonn"), tmp_path)
    model: Any = load_speechlm(folder, "float32")
    model.core.save_pretrained(tmp_path / "again")
    model.processor.save_pretrained(tmp_path / "again")
    for name in ("llm", "whisper", "salmonn"):
        (tmp_path / name).rename(tmp_path / f"no-{name}")
    assert torch.equal(logp(load_speechlm(tmp_path / "again", "float32")), logp(model))


def test_the_adapter_counts_as_much_as_config_says(tmp_path: Path):
    folder, products = as_published(save_tiny_audio_lm(tmp_path / "whole", "salmonn"), tmp_path, lora_alpha=16)
    base, name = load_file(tmp_path / "llm" / "model.safetensors"), "model.layers.0.self_attn.v_proj.weight"
    found = load_speechlm(folder, "float32").core.llama_model.state_dict()[name]  # type: ignore[attr-defined]
    torch.testing.assert_close(found, base[name] + products[name] / 2, atol=1e-5, rtol=1e-5)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "names no such checkpoint": ({"ckpt": "v2.pth"}, r"ckpt of its config.json names no file: v2[.]pth.*download it"),
    "names no such BEATs": ({"beats_path": "no.pt"}, r"beats_path of its config.json names no file: no[.]pt"),
    "names no BEATs": ({"beats_path": None}, r"config[.]json of this SALMONN names no beats_path .*name it there"),
    "names no Whisper": ({"whisper_path": None, "llama_path": None}, "names no llama_path and no whisper_path"),
    "names a checkpoint elsewhere": ({"ckpt": "../v1.pth"}, r"ckpt names no file beside its config.json: .*v1.*a link"),
    "names BEATs elsewhere": ({"beats_path": "/beats.pt"}, "beats_path names no file beside its config.json: /beats"),
    "has windows of nothing": (
        {"second_per_window": 0},
        "second_per_window of its config.json is not from 0.02 to 10: 0",
    ),
    "has windows of more than a clip": (
        {"second_per_window": 10.1},
        "second_per_window .* is not from 0.02 to 10: 10.1",
    ),
    "goes on by nothing": ({"second_stride": 0.001}, "second_stride of its config.json is not from 0.02 to 10: 0.001"),
    "goes on by words": ({"second_stride": "a third"}, "second_stride .* is not from 0.02 to 10: a third"),
    "asks nothing": ({"num_speech_query_token": 0}, "num_speech_query_token of its config.json is not 1 or more: 0"),
    "asks half a time": ({"num_speech_query_token": 0.5}, "num_speech_query_token .* is not 1 or more: 0.5"),
    "takes another file": ({"ckpt": "beats.pt"}, r"holds patch_embedding[.]weight, which is no part of a SALMONN"),
    "reads no windows": ({"window_level_Qformer": False}, "reads no windows"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_config_that_names_the_wrong_things_is_refused_in_a_line(fault: str, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    change, words = WRONG[fault]
    folder, _ = as_published(save_tiny_audio_lm(tmp_path / "whole", "salmonn"), tmp_path, **change)
    with pytest.raises(ModelError, match=words):
        load_speechlm(folder, "float32")


def test_its_files_are_those_beside_its_config_and_not_those_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, _ = as_published(save_tiny_audio_lm(tmp_path / "whole", "salmonn"), tmp_path)
    for name in ("v1.pth", "beats.pt"):
        (tmp_path / name).write_text("another's")
    monkeypatch.chdir(tmp_path)
    assert load_speechlm(folder, "float32").core.config.rows == ROWS  # type: ignore[attr-defined]


def test_a_link_beside_its_config_is_opened_and_its_mark_changes_with_what_it_leads_to(tmp_path: Path):
    folder, _ = as_published(save_tiny_audio_lm(tmp_path / "whole", "salmonn"), tmp_path)
    elsewhere = (folder / "v1.pth").rename(tmp_path / "kept.pth")
    (folder / "v1.pth").symlink_to(elsewhere)
    assert load_speechlm(folder, "float32").core.config.rows == ROWS  # type: ignore[attr-defined]
    before = folder_mark(str(folder))
    assert folder_mark(str(folder)) == before
    elsewhere.write_bytes(elsewhere.read_bytes() + b" ")
    assert folder_mark(str(folder)) != before


PAIR = "llama_model.base_model.model.model.layers.1.self_attn.v_proj.lora_{}.default.weight"
FURTHER = "llama_model.base_model.model.model.layers.2.self_attn.v_proj.lora_{}.default.weight"
MISFITS: dict[str, tuple[str, Weights, str]] = {
    "none": (".lora_", {}, "ckpt of its config.json holds no adapter of the LLM"),
    "half a pair": (PAIR.format("A"), {}, r"the adapter of ckpt lacks .*layers[.]1[.]self_attn[.]v_proj[.]lora_A"),
    "the other half": (PAIR.format("B"), {}, r"the adapter of ckpt lacks .*layers[.]1[.]self_attn[.]v_proj[.]lora_B"),
    "that of a wider LLM": (
        PAIR.format("A"),
        {PAIR.format("A"): torch.ones(RANK, 40)},
        r"the adapter of ckpt does not fit llama_path: .*v_proj[.]weight is 16 x 40 there, 16 x 32 here .*trained on",
    ),
    "one that would be spread": (
        PAIR.format("B"),
        {PAIR.format("B"): torch.ones(1, RANK)},
        "does not fit llama_path: .* is 1 x 32 there, 16 x 32 here",
    ),
    "that of a deeper LLM": (
        "nothing",
        {FURTHER.format("A"): torch.ones(RANK, 32), FURTHER.format("B"): torch.ones(16, RANK)},
        r"does not fit llama_path: model[.]layers[.]2[.]self_attn[.]v_proj[.]weight is 16 x 32 there, none here",
    ),
}


@pytest.mark.parametrize("adapter", MISFITS)
def test_an_adapter_that_does_not_fit_is_refused_in_a_line(adapter: str, tmp_path: Path):
    folder, _ = as_published(save_tiny_audio_lm(tmp_path / "whole", "salmonn"), tmp_path)
    drop, add, words = MISFITS[adapter]
    held = torch.load(folder / "v1.pth", weights_only=True)["model"]
    torch.save({"model": {key: held[key] for key in held if drop not in key} | add}, folder / "v1.pth")
    with pytest.raises(ModelError, match=words):
        load_speechlm(folder, "float32")


@pytest.mark.parametrize("name", FILES_ALONE)
def test_hub_ids_that_hold_weights_alone_are_refused_with_what_to_do(name: str):
    for refuse in (load_speechlm, check_published):
        with pytest.raises(ModelError, match=r"holds weights alone .*config[.]json \(docs/families[.]md#salmonn\)"):
            refuse(name)


def test_a_pickle_of_more_than_weights_is_not_run(tmp_path: Path):
    folder, _ = as_published(save_tiny_audio_lm(tmp_path / "whole", "salmonn"), tmp_path)
    torch.save({"model": {}, "config": Path("somewhere")}, folder / "v1.pth")
    with pytest.raises(ModelError, match=r"cannot load the audio LM: .*[Ww]eights"):
        load_speechlm(folder, "float32")


def test_a_tokenizer_that_needs_sentencepiece_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, _ = as_published(save_tiny_audio_lm(tmp_path / "whole", "salmonn"), tmp_path)
    (tmp_path / "llm" / "tokenizer.json").rename(tmp_path / "llm" / "tokenizer.model")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    monkeypatch.setattr("rba.models.salmonn.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"tokenizer[.]model needs sentencepiece .*; pip install sentencepiece"):
        load_speechlm(folder, "float32")


BIAS = "connector.proj.bias"
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "lacks": ({"drop": (BIAS,)}, r"connector of the checkpoint lacks proj[.]bias"),
    "has more": ({"add": {"ears.beats.predictor.bias": torch.ones(2)}}, r"has no place for predictor[.]bias"),
    "is of another size": ({"add": {BIAS: torch.ones(7)}}, "connector have other shapes"),
    "lacks its LLM": ({"drop": ("llama_model.",)}, "llama_model of the checkpoint lacks .* and more"),
    "is something else": ({"add": {"other.weight": torch.ones(2)}}, "other.weight, which is no part of a SALMONN"),
    "hears otherwise": ({"encoder_config": {"model_type": "wav2vec2"}}, "no Whisper but wav2vec2"),
    "names no model": ({"llama_path": "no/such-model"}, "its base model no/such-model cannot be opened"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_does_not_fit_is_refused_in_a_line(fault: str, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    change, words = FAULTS[fault]
    folder = rewrite(save_tiny_audio_lm(tmp_path, "salmonn"), **change)
    with pytest.raises(ModelError, match=words):
        load_speechlm(folder, "float32")
