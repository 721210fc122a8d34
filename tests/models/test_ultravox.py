"""Ultravox: its projector and whole forward pass by the formula, and checkpoints of every layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from export.runs import save_moved
from rewritten import rewrite
from safetensors.torch import load_file
from transformers import LlamaForCausalLM, WhisperConfig, WhisperModel

from rba.errors import ModelError
from rba.export.model import export_model
from rba.lm.scorer import score
from rba.models.load import load_speechlm
from rba.models.ultravox_model import Projector, UltravoxConfig, encode
from rba.testing.tiny_audio_lm import save_tiny_audio_lm, tiny_audio_lm
from rba.testing.tiny_audio_parts import SECONDS, WIDTH, whisper_sizes
from rba.testing.tiny_lm import save_tiny_lm
from rba.testing.tiny_utterances import tiny_wave

ANSWER = [40, 41, 42, 2]
LLM, TOWER, PROJECTOR = "language_model.", "audio_tower.", "multi_modal_projector."
Weights = dict[str, torch.Tensor]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16_000 * seconds))).astype(np.float32)


@torch.no_grad()
def logp(model: Any, wave: np.ndarray | None = None) -> torch.Tensor:
    waves = [tiny_wave(0) if wave is None else wave]
    return score(model.lm, model.prompts(model.encode(waves)), [ANSWER], 512)[0]


def rms(x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return x if weight is None else weight * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def projected(rows: torch.Tensor, state: Weights, act: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """The projector by its formula."""
    hidden = act(rms(rows, state["ln_pre.weight"]) @ state["linear_1.weight"].T)
    return rms(rms(hidden, state.get("ln_mid.weight")) @ state["linear_2.weight"].T, state.get("ln_post.weight"))


def swiglu(x: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return x[..., :half] * x[..., half:] / (1 + (-x[..., half:]).exp())


def config(**more: Any) -> UltravoxConfig:
    audio = {"model_type": "whisper", **whisper_sizes()}
    return UltravoxConfig(
        audio,
        {"model_type": "llama", "hidden_size": 24, "num_attention_heads": 2},
        hidden_size=40,
        stack_factor=4,
        **more,
    )


@pytest.mark.parametrize(
    ("more", "act", "names", "inner"),
    [
        ({}, swiglu, {"ln_pre", "linear_1", "linear_2", "ln_post"}, 20),
        ({"projector_ln_mid": True}, swiglu, {"ln_pre", "linear_1", "ln_mid", "linear_2"}, 20),
        ({"projector_act": "gelu"}, F.gelu, {"ln_pre", "linear_1", "linear_2", "ln_post"}, 40),
    ],
)
@torch.no_grad()
def test_the_projector_follows_its_formula(more: dict[str, Any], act: Any, names: set[str], inner: int):
    projector = Projector(config(**more))
    generator = torch.Generator().manual_seed(0)
    for weight in projector.parameters():
        weight.normal_(0.5, 1.0, generator=generator)
    state = projector.state_dict()
    assert state.keys() == {f"{name}.weight" for name in names}
    assert state["linear_1.weight"].shape == (40, 64) and state["linear_2.weight"].shape == (24, inner)
    rows = torch.randn(3, 5, 64, generator=generator)
    torch.testing.assert_close(projector(rows), projected(rows, state, act), atol=1e-4, rtol=1e-4)


def layer_norm(x: torch.Tensor, state: Weights, name: str) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * state[f"{name}.weight"]
        + state[f"{name}.bias"]
    )


def linear(x: torch.Tensor, state: Weights, name: str) -> torch.Tensor:
    return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0.0)


def heard(mel_MT: torch.Tensor, frames: int, state: Weights) -> torch.Tensor:
    """A tower of one layer with two heads over one chunk [M, T] of which `frames` are real: states [T / 2, D]."""
    state = {key.removeprefix(TOWER): value for key, value in state.items() if key.startswith(TOWER)}
    x = F.gelu(F.conv1d(mel_MT, state["conv1.weight"], state["conv1.bias"], padding=1))
    x = F.gelu(F.conv1d(x, state["conv2.weight"], state["conv2.bias"], stride=2, padding=1)).T
    x = x + state["embed_positions.weight"][: len(x)]
    real, at = (frames + 1) // 2, "layers.0"
    normed, mixed = layer_norm(x, state, f"{at}.self_attn_layer_norm"), []
    q, k, v = (linear(normed, state, f"{at}.self_attn.{name}_proj").chunk(2, -1) for name in "qkv")
    for query, key, value in zip(q, k, v):
        weights = (query @ key[:real].T / query.shape[-1] ** 0.5).softmax(-1)
        mixed.append(weights @ value[:real])
    x = x + linear(torch.cat(mixed, -1), state, f"{at}.self_attn.out_proj")
    inner = F.gelu(linear(layer_norm(x, state, f"{at}.final_layer_norm"), state, f"{at}.fc1"))
    return layer_norm(x + linear(inner, state, f"{at}.fc2"), state, "layer_norm")


@pytest.mark.parametrize("seconds", [0.01, 1.37, SECONDS, SECONDS + 2.53])
@torch.no_grad()
def test_log_probs_are_those_of_a_plain_forward_pass(seconds: float, tmp_path: Path):
    model: Any = load_speechlm(save_tiny_audio_lm(tmp_path, "ultravox"), "float32")
    state, wave = load_file(tmp_path / "model.safetensors"), noise(seconds)
    padded = np.pad(wave, (0, max(320, -(-len(wave) // 160) * 160) - len(wave)))
    made = model.processor.ears(padded, sampling_rate=16_000, padding=False, truncation=False, return_tensors="pt")
    mel, rows = made["input_features"][0], []
    for start in range(0, mel.shape[1], 100 * SECONDS):
        chunk = mel[:, start : start + 100 * SECONDS]
        frames = chunk.shape[1]
        chunk = F.pad(chunk, (0, 100 * SECONDS - frames)) if start else chunk
        states = heard(chunk, frames, state)
        stacked = F.pad(states, (0, 0, 0, -len(states) % 8)).reshape(-1, 8 * states.shape[1])
        rows.append(stacked[: -(-frames // 16)])
    plain = {key.removeprefix(PROJECTOR): value for key, value in state.items() if key.startswith(PROJECTOR)}
    audio = projected(torch.cat(rows), plain, swiglu)
    llm = LlamaForCausalLM(model.core.config.text_config).eval()
    llm.load_state_dict({key.removeprefix(LLM): v for key, v in state.items() if key.startswith(LLM)}, strict=False)
    table, tokenizer = llm.get_input_embeddings(), model.lm.tokenizer
    around = ("<|im_start|>user\n<|audio_start|>", "<|audio_end|><|im_end|>\n<|im_start|>assistant\n")
    before, after = (table(torch.tensor(tokenizer(text)["input_ids"])) for text in around)
    whole = torch.cat([before, audio, after, table(torch.tensor(ANSWER[:-1]))])
    own = llm(inputs_embeds=whole[None]).logits[0, -len(ANSWER) :].log_softmax(-1)[range(len(ANSWER)), ANSWER]
    torch.testing.assert_close(logp(model, wave).cpu(), own, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("seconds", "rows"), [(0.001, 1), (1.0, 7), (1.6, 10), (SECONDS, 63), (SECONDS + 1, 70)])
def test_a_row_is_sixteen_frames_and_the_last_of_a_chunk_fewer(seconds: float, rows: int):
    model = tiny_audio_lm("ultravox")
    inputs = model.inputs(noise(seconds))
    assert int((inputs["input_ids"] == model.core.config.audio_token_index).sum()) == rows
    assert [len(feature) for feature in model.encode([noise(seconds)])] == [rows]


@torch.no_grad()
def test_over_a_whole_chunk_the_tower_is_that_of_transformers():
    tower = tiny_audio_lm("ultravox").core.audio_tower
    mel = torch.randn(1, tower.config.num_mel_bins, 100 * SECONDS)
    own = tower(mel).last_hidden_state
    torch.testing.assert_close(encode(tower, mel, torch.tensor([mel.shape[-1]])), own, atol=1e-5, rtol=0)


@torch.no_grad()
def test_within_blocks_of_latency_nothing_later_is_heard():
    tower = tiny_audio_lm("ultravox").core.audio_tower
    one = torch.randn(1, tower.config.num_mel_bins, 200)
    other = one.clone()
    other[..., 160:] = 0
    free, held = (encode(tower, torch.cat([one, other]), torch.tensor([200, 200]), block) for block in (None, 25))
    assert (free[0, :70] - free[1, :70]).abs().max() > 1e-3
    torch.testing.assert_close(held[0, :75], held[1, :75])
    assert (held[0, 75:79] - held[1, 75:79]).abs().max() > 1e-3


def save_bases(folder: Path, whole: Path) -> tuple[Path, Path]:
    """The LLM and the tower of a saved Ultravox as the base models that it may have been made of."""
    state, core = load_file(whole / "model.safetensors"), tiny_audio_lm("ultravox").core
    whisper = WhisperModel(WhisperConfig(**whisper_sizes(), decoder_layers=1, decoder_attention_heads=2))
    for part, prefix in ((core.language_model, LLM), (whisper.get_encoder(), TOWER)):
        part.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}, False)
    core.language_model.save_pretrained(folder / "llm")
    whisper.save_pretrained(folder / "whisper-tiny")
    return folder / "llm", folder / "whisper-tiny"


PUBLISHED = {
    "architectures": ["UltravoxModel"],
    "auto_map": {"AutoConfig": "ultravox_config.UltravoxConfig", "AutoModel": "ultravox_model.UltravoxModel"},
    "custom_pipelines": {"ultravox-pipeline": {"impl": "ultravox_pipeline.UltravoxPipeline", "type": "multimodal"}},
    "ignore_index": -100,
    "norm_init": 0.4,
    "initializer_range": 0.02,
    "vocab_size": 266,
    "text_model_lora_config": {"r": 0, "lora_alpha": 8, "target_modules": ["k_proj", "q_proj"]},
    "torch_dtype": "bfloat16",
    "audio_token_index": None,
}
"""What published configurations hold beside the parts and the projector's sizes."""


@pytest.mark.parametrize("held", [(PROJECTOR,), (PROJECTOR, TOWER), (PROJECTOR, LLM), (PROJECTOR, TOWER, LLM)])
def test_parts_that_a_checkpoint_lacks_come_from_the_models_it_names(held: tuple[str, ...], tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path / "ultravox", "ultravox")
    whole = logp(load_speechlm(folder, "float32"))
    llm, whisper = save_bases(tmp_path, folder)
    keys: dict[str, Any] = dict(PUBLISHED)
    if LLM not in held:
        keys |= {"text_model_id": str(llm), "text_config": None}
    if TOWER not in held:
        keys |= {"audio_model_id": str(whisper), "audio_config": None}
    rewrite(folder, tuple({PROJECTOR, TOWER, LLM} - set(held)), **keys)
    assert torch.equal(logp(load_speechlm(folder, "float32")), whole)


def test_weights_of_the_checkpoint_lie_over_those_of_the_base(tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path / "ultravox", "ultravox")
    whole = logp(load_speechlm(folder, "float32"))
    name = f"{LLM}model.norm.weight"
    llm, _ = save_bases(tmp_path, folder)
    changed = {name: 2 * load_file(folder / "model.safetensors")[name]}
    rewrite(folder, (LLM,), changed, text_model_id=str(llm))
    assert (logp(load_speechlm(folder, "float32")) - whole).abs().max() > 0.1


def test_an_llm_that_knows_no_audio_token_is_given_one_beyond_its_table(tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path / "ultravox", "ultravox")
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "chat_template.jinja").unlink()
    rewrite(folder, (LLM,), text_model_id=str(save_tiny_lm(tmp_path / "llm")), text_config=None)
    model: Any = load_speechlm(folder, "float32")
    inputs = model.inputs(tiny_wave(0))
    assert int(inputs["input_ids"].max()) == len(model.core.get_input_embeddings().weight) == 259
    assert model.lm.tokenizer.decode(inputs["input_ids"][0]).startswith("<|im_start|>user\n<|audio|><|audio|>")
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([ANSWER]).to(inputs["input_ids"])], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        own = model.core(**inputs).logits[0, -len(ANSWER) - 1 : -1].log_softmax(-1)[range(len(ANSWER)), ANSWER]
    torch.testing.assert_close(logp(model), own, atol=1e-5, rtol=0)


def test_an_export_is_a_whole_ultravox_and_hands_its_code_on(tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path / "ultravox", "ultravox")
    llm, whisper = save_bases(tmp_path, folder)
    rewrite(folder, (TOWER, LLM), text_model_id=str(llm), audio_model_id=str(whisper), **PUBLISHED)
    (folder / "ultravox_model.py").write_text("# theirs")
    model = load_speechlm(folder, "float32")
    save_moved(model, tmp_path / "run")
    export_model(tmp_path / "run", "transformers", tmp_path / "out")
    tree = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (tree["model_type"], tree["architectures"]) == ("ultravox", ["UltravoxModel"])
    assert (tree["text_model_id"], tree["audio_model_id"], tree["audio_token_index"]) == (None, None, 259)
    assert tree["auto_map"] == PUBLISHED["auto_map"] and (tmp_path / "out" / "ultravox_model.py").is_file()
    assert tree["audio_config"]["_name_or_path"] == "whisper-tiny"
    assert (tree["text_config"]["model_type"], tree["text_config"]["architectures"]) == ("llama", ["LlamaForCausalLM"])
    assert str(tmp_path) not in json.dumps(tree)
    names = load_file(tmp_path / "out" / "model.safetensors").keys()
    assert {name.split(".")[0] + "." for name in names} == {LLM, TOWER, PROJECTOR}
    assert not any("lora" in name for name in names) and f"{LLM}lm_head.weight" not in names
    torch.testing.assert_close(logp(load_speechlm(tmp_path / "out", "float32")), logp(model), atol=1e-4, rtol=0)


LINEAR = f"{PROJECTOR}linear_2.weight"
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "lacks": ({"drop": (LINEAR,)}, r"multi_modal_projector of the checkpoint lacks linear_2[.]weight"),
    "has more": (
        {"add": {f"{PROJECTOR}ln_post.weight": torch.ones(WIDTH)}},
        r"multi_modal_projector of the checkpoint has no place for ln_post[.]weight",
    ),
    "says otherwise": ({"projector_ln_mid": False}, r"lacks ln_post[.]weight and has no place for ln_mid[.]weight"),
    "is of another size": ({"add": {LINEAR: torch.ones(WIDTH, 7)}}, "multi_modal_projector have other shapes"),
    "has a tower of another size": (
        {"add": {f"{TOWER}conv1.bias": torch.ones(7)}},
        "audio_tower have other shapes",
    ),
    "writes nothing": ({"text_config": {"model_type": "wav2vec2"}}, "none that writes: wav2vec2"),
    "lacks its LLM": ({"drop": (LLM,)}, r"language_model of the checkpoint lacks .* and more"),
    "lacks some of its tower": ({"drop": (f"{TOWER}conv1.bias",)}, r"audio_tower of the checkpoint lacks conv1[.]bias"),
    "is something else": ({"add": {"adapter.weight": torch.ones(2)}}, "adapter.weight, which is no part"),
    "is adapted": ({"add": {f"{LLM}base_model.lora_A.weight": torch.ones(2)}}, "adapter of its own"),
    "hears otherwise": ({"audio_config": {"model_type": "wav2vec2"}}, "no Whisper but wav2vec2"),
    "projects otherwise": ({"num_projector_layers": 2}, "the projector of this Ultravox is a transformer"),
    "names no model": ({"text_model_id": "no/such-model"}, r"its base model no/such-model cannot be opened"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_does_not_fit_is_refused_in_a_line(fault: str, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    change, words = FAULTS[fault]
    folder = rewrite(save_tiny_audio_lm(tmp_path, "ultravox"), **change)
    with pytest.raises(ModelError, match=words):
        load_speechlm(folder, "float32")
