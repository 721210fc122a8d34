"""Shapes are found wherever a configuration lies, and are those of the real model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from releases import each
from transformers import LlamaConfig

from rba.errors import ModelError
from rba.models.encoder import load_encoder
from rba.models.families import FAMILIES
from rba.plan.classes import BUILDERS as CLASSES
from rba.plan.published import PUBLISHED
from rba.plan.shapes import Shapes
from rba.testing.tiny_audio_lm import BUILDERS, STAND_INS, tiny_audio_lm
from rba.testing.tiny_encoder import save_tiny_encoder
from rba.testing.tiny_lm import tiny_text_lm
from rba.testing.tiny_utterances import tiny_wave


def test_a_folder_without_weights_tells_its_shape(bare: Path):
    shape = Shapes().find(str(bare / "llm"), "lm")
    assert shape is not None and shape.source == "folder"
    assert shape.parameters == sum(p.numel() for p in tiny_text_lm().model.parameters())


def test_an_embedding_that_is_the_head_too_counts_once_also_where_the_two_are_not_tied_yet(
    bare: Path, monkeypatch: pytest.MonkeyPatch
):
    def untied(config: Any, name: str) -> tuple[Any, Any]:
        model, _ = CLASSES["lm"](config, name)
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
        return model, None

    monkeypatch.setattr("rba.plan.shapes.BUILDERS", CLASSES | {"lm": untied})
    shape = Shapes().find(str(bare / "llm"), "lm")
    assert shape is not None and shape.parameters == tiny_text_lm().model.num_parameters()


def test_the_users_configuration_comes_first(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3}))
    shape = Shapes({"org/own": str(path)}).find("openai:http://host/v1#org/own", "lm")
    assert shape is not None and shape.decoder is not None
    assert (shape.decoder.width, shape.decoder.layers) == (64, 3)


@pytest.mark.parametrize("text", ["", "[]", '{"hidden_size": 64}', '{"model_type": "no-such-model"}'])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match="no configuration of org/own"):
        Shapes({"org/own": str(tmp_path / "config.json")}).find("org/own", "lm")


@pytest.mark.parametrize(
    "facts",
    [
        {"hidden_size": "wide"},
        {"hidden_size": -64},
        {"hidden_size": 65, "num_attention_heads": 4},
        {"num_attention_heads": 0},
        {"vocab_size": 8, "pad_token_id": 9},
    ],
)
@pytest.mark.parametrize("given", [True, False])
def test_values_that_no_model_can_have_are_refused_in_one_line(tmp_path: Path, facts: dict[str, object], given: bool):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1} | facts))
    name = "org/own" if given else str(tmp_path)
    shapes = Shapes({name: str(tmp_path / "config.json")} if given else {})
    with pytest.raises(ModelError, match=f"no configuration of {name}: .*[a-zA-Z]{{4}}"):
        shapes.find(name, "lm")


OTHER_BLOCKS = ("gemma3n", "gemma4", "gemma4_unified", "nemotron_h_omni", "qwen3_omni_moe_thinker")


@pytest.mark.parametrize("family", each(sorted(set(BUILDERS) - set(STAND_INS))))
def test_the_parts_of_an_audio_lm_are_told_apart(family: str, tmp_path: Path):
    model = tiny_audio_lm(family)
    model.core.config.save_pretrained(tmp_path)
    shape = Shapes().find(str(tmp_path), "audio")
    assert shape is not None and (shape.decoder is None) == (family in OTHER_BLOCKS)
    assert shape.parameters == sum(p.numel() for p in model.core.parameters())
    assert shape.projector == sum(p.numel() for p in model.projector.parameters())
    sizes = {"gemma4_unified": (0, 640), "desta25": (4, 16)}
    assert (shape.tower_layers, shape.tower_width) == sizes.get(family, (1, 16))
    bridge = {id(p) for p in model.projector.parameters()}
    towers = ("audio_tower", "audio_embed.encoder", "whisper.model.encoder", "ears.")
    heard = [p for n, p in model.core.named_parameters() if any(tower in n for tower in towers)]
    assert shape.tower == sum(p.numel() for p in heard if id(p) not in bridge)


def test_blocks_of_another_kind_are_told(tmp_path: Path):
    config = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shapes = Shapes({"org/gpt": str(tmp_path / "config.json")})
    shape = shapes.find("org/gpt", "lm")
    assert shape is not None and shape.decoder is None
    assert "hold more than attention and a gated MLP" in shapes.unknown["org/gpt"]


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "kind"),
    [("smollm2-135m-instruct", "lm"), ("whisper-tiny.en", "encoder"), ("moonshine-base-en", "recogniser")],
)
def test_published_shapes_are_those_of_the_fetched_models(name: str, kind, weights, monkeypatch: pytest.MonkeyPatch):
    weights(name)
    fetched = Shapes().find(name, kind)
    monkeypatch.setattr("rba.weights.cache.is_cached", lambda name: False)
    published = Shapes().find(name, kind)
    assert fetched is not None and published is not None
    assert (fetched.source, published.source) == ("registry cache", "published")
    assert (fetched.parameters, fetched.tower) == (published.parameters, published.tower)
    assert fetched.tower_layers == published.tower_layers and fetched.tower_width == published.tower_width


def test_a_name_that_a_server_alone_knows_is_unknown_and_no_fault():
    shapes = Shapes()
    assert shapes.find("openai:http://h/v1#large", "lm") is None
    assert "--shape large=config.json" in shapes.unknown["large"]


def test_published_configurations_name_their_kind():
    assert all("model_type" in tree for tree in PUBLISHED.values())
    assert LlamaConfig(**{k: v for k, v in PUBLISHED["smollm2-135m-instruct"].items() if k != "model_type"})


def test_the_published_ultravox_holds_its_tower_and_its_projector_in_16_bits():
    shape = Shapes().find("fixie-ai/ultravox-v0_5-llama-3_2-1b", "audio")
    assert shape is not None and shape.decoder is not None
    # its model.safetensors has 1,366,275,264 bytes, the names of some 490 weights among them
    assert 0 < 1_366_275_264 - 2 * (shape.tower + shape.projector) < 50_000


SALMONN = {
    "model_type": "salmonn",
    "ckpt": "salmonn_v1.pth",
    "beats_path": "beats.pt",
    "whisper_path": "openai/whisper-large-v2",
    "llama_path": "lmsys/vicuna-13b-v1.1",
}


def test_an_audio_lm_that_names_base_models_has_their_shapes(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(SALMONN))
    shape = Shapes().find(str(tmp_path), "audio")
    assert shape is not None and shape.decoder is not None
    assert (shape.decoder.width, shape.decoder.layers, shape.tower_width) == (5120, 40, 1280)
    # Vicuna's 13,015,864,320, Whisper's encoder of 636,840,960 and BEATs' 90 million
    assert 90_000_000 < shape.parameters - shape.projector - 13_015_864_320 - 636_840_960 < 92_000_000


def test_base_models_come_from_the_cache_the_table_or_what_the_user_gave_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "empty"))
    (tmp_path / "config.json").write_text(
        json.dumps(SALMONN | {"llama_path": "org/own", "whisper_path": "whisper-base"})
    )
    (tmp_path / "own.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3}))
    shapes = Shapes({"org/own": str(tmp_path / "own.json")})
    shape = shapes.find(str(tmp_path), "audio")
    shapes.check_given()
    assert shape is not None and shape.decoder is not None
    assert (shape.decoder.width, shape.decoder.layers, shape.tower_width) == (64, 3, 512)
    assert not (tmp_path / "empty").exists()


def test_a_base_model_that_nothing_here_tells_is_named(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(SALMONN | {"llama_path": "org/unknown"}))
    words = "nothing here tells the configuration of its base model org/unknown .*hf download org/unknown config.json"
    with pytest.raises(ModelError, match=words):
        Shapes().find(str(tmp_path), "audio")


@pytest.mark.parametrize(("family", "rate"), [("whisper", 50.0), ("moonshine", 16_000 / 384), ("wav2vec2", 50.0)])
def test_what_hears_in_a_compact_model_is_told_from_the_rest(family: str, rate: float, tmp_path: Path):
    save_tiny_encoder(tmp_path, family)
    shape, encoder = Shapes().find(str(tmp_path), "encoder"), load_encoder(str(tmp_path))
    assert shape is not None and shape.frame_rate == rate == encoder.frame_rate
    assert (shape.tower_layers, shape.tower_width) == (1 if family == "whisper" else 2, encoder.width)
    assert shape.tower == sum(p.numel() for p in encoder.encoder.parameters())  # type: ignore[attr-defined]
    assert (shape.parameters > shape.tower) == (family != "wav2vec2")  # no decoder beside it


UNEVEN = {"voxtral", "granite_speech", "granite_speech_plus", "gemma3n", "desta25", "salmonn"}
"""Voxtral fills whole chunks and Granite whole windows; Gemma 3n, DeSTA and SALMONN make as many rows of every clip."""


@pytest.mark.parametrize("family", each(sorted(set(BUILDERS) - UNEVEN)))
def test_a_second_becomes_as_many_rows_as_the_family_says(family: str):
    model = tiny_audio_lm(family)
    short, long = (len(model.prompts(model.encode([tiny_wave(0, seconds)]))[0]) for seconds in (4.0, 8.0))
    assert (long - short) / 4 == pytest.approx(FAMILIES[family].rows, abs=0.1)
