"""DeSTA2.5-Audio: connector and tower by the formula, the words beside what is heard, checkpoints of each layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rewritten import rewrite
from safetensors.torch import load_file, save_file

from rba.errors import ModelError
from rba.lm.load import load_tokenizer
from rba.lm.scorer import score
from rba.models.desta_model import Connector, DestaConfig
from rba.models.desta_turns import DestaTurns
from rba.models.load import load_speechlm
from rba.speech.engine import load_engine
from rba.speech.speaker import Speaker
from rba.testing.tiny_audio_lm import save_tiny_audio_lm, tiny_audio_lm
from rba.testing.tiny_audio_parts import SECONDS, whisper_ears
from rba.testing.tiny_utterances import tiny_wave

ANSWER = [40, 41, 42, 2]
LLM, WHISPER, CONNECTOR = "llm_model.", "perception.whisper.", "perception.connector."
Weights = dict[str, torch.Tensor]


@torch.no_grad()
def logp(model: Any) -> torch.Tensor:
    return score(model.lm, model.prompts(model.encode([tiny_wave(0)])), [ANSWER], 512)[0]


def attend(x: torch.Tensor, y: torch.Tensor, state: Weights, at: str, heads: int) -> torch.Tensor:
    """BERT's attention of rows [P, F] to rows [T, F], all to all, with its output and norm behind it."""
    q, k, v = (
        rows @ state[f"{at}.self.{name}.weight"].T + state[f"{at}.self.{name}.bias"]
        for rows, name in ((x, "query"), (y, "key"), (y, "value"))
    )
    mixed = [
        (a @ b.T / a.shape[-1] ** 0.5).softmax(-1) @ c
        for a, b, c in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1))
    ]
    out = torch.cat(mixed, -1) @ state[f"{at}.output.dense.weight"].T + state[f"{at}.output.dense.bias"]
    return norm(out + x, state, f"{at}.output.LayerNorm", 1e-12)


def norm(x: torch.Tensor, state: Weights, at: str, epsilon: float) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{at}.weight"], state[f"{at}.bias"], epsilon)


def connected(states_LTF: torch.Tensor, state: Weights, heads: int, layers: int) -> torch.Tensor:
    """The connector by its formula: rows [P, D]."""
    read = []
    for number, states_TF in enumerate(states_LTF):
        x = state[f"layer_prompts.{number}"][0]
        for layer in range(layers):
            at = f"qformer.layer.{layer}"
            x = attend(x, x, state, f"{at}.attention", heads)
            x = attend(x, states_TF, state, f"{at}.crossattention", heads)
            inner = F.gelu(x @ state[f"{at}.intermediate.dense.weight"].T + state[f"{at}.intermediate.dense.bias"])
            out = inner @ state[f"{at}.output.dense.weight"].T + state[f"{at}.output.dense.bias"]
            x = norm(out + x, state, f"{at}.output.LayerNorm", 1e-12)
        read.append(x)
    shares_PL = state["layer_weights"].softmax(-1)
    mean_PF = sum(shares_PL[:, i, None] * rows for i, rows in enumerate(read))
    return norm(mean_PF, state, "proj.0", 1e-5) @ state["proj.1.weight"].T + state["proj.1.bias"]


@torch.no_grad()
def test_the_connector_follows_its_formula():
    model = tiny_audio_lm("desta25").core
    connector = model.perception.connector
    generator = torch.Generator().manual_seed(0)
    for weight in connector.parameters():
        weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
    states_LTF = torch.randn(4, 11, 16, generator=generator)
    found = connector(states_LTF.reshape(1, 44, 16))[0]
    torch.testing.assert_close(found, connected(states_LTF, connector.state_dict(), 2, 2), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_tower_gives_the_states_that_end_its_quarters_before_the_last_norm():
    model: Any = tiny_audio_lm("desta25")
    mel = model.processor.mels([tiny_wave(0)])
    encoder = model.core.perception.whisper.get_encoder()
    own = encoder(mel, output_hidden_states=True)
    *kept, last = model.core.perception.hear(mel)[0].chunk(4)
    for found, wanted in zip(kept, own.hidden_states[1:4]):
        torch.testing.assert_close(found, wanted[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder.layer_norm(last), own.last_hidden_state[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_words_that_whisper_wrote_follow_what_is_heard(monkeypatch: pytest.MonkeyPatch):
    model: Any = tiny_audio_lm("desta25")
    written = iter(["What is rain?", ""])
    monkeypatch.setattr(type(model), "_words", lambda self, states: next(written))
    waves = [tiny_wave(0), tiny_wave(1)]
    features = [feature.to(torch.float16) for feature in model.encode(waves)]  # as they are kept
    prompts, heard = model.listen(features)
    assert heard == ["What is rain?", ""]
    tokenizer = model.lm.tokenizer
    before, after = (
        model.lm.embed(tokenizer(text)["input_ids"])
        for text in ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
    )
    begin, end, words = (
        model.lm.embed(tokenizer(text)["input_ids"]) for text in ("<start_audio>", "<end_audio>", "What is rain?")
    )
    rows = prompts[0][len(before) + len(begin) :][:5]
    assert torch.equal(prompts[0], torch.cat([before, begin, rows, words, end, after]))
    assert len(prompts[1]) == len(prompts[0]) - len(words)


@pytest.mark.parametrize("seconds", [0.01, 2.0, SECONDS + 3.0])
def test_every_clip_takes_as_many_rows_and_is_cut_where_whisper_ends(seconds: float):
    model: Any = tiny_audio_lm("desta25")
    wave = (0.1 * np.random.default_rng(0).standard_normal(round(16_000 * seconds))).astype(np.float32)
    inputs = model.inputs(wave)
    assert int((inputs["input_ids"] == model.core.config.audio_token_index).sum()) == 5
    (feature,) = model.encode([wave])
    (cut,) = model.encode([wave[: 16_000 * SECONDS]])
    assert torch.equal(feature, cut)


def test_the_words_are_those_that_whisper_writes_to_the_clip_itself():
    model: Any = tiny_audio_lm("desta25")
    for number in range(3):
        mel = model.processor.mels([tiny_wave(number)])
        ids = model.core.perception.whisper.generate(mel, max_new_tokens=8)
        own = model.processor.scribe.batch_decode(ids, skip_special_tokens=True)[0].strip()
        assert model.listen(model.encode([tiny_wave(number)]))[1] == [own] != [""]


def test_how_whisper_writes_is_saved_with_the_model(tmp_path: Path):
    model: Any = load_speechlm(save_tiny_audio_lm(tmp_path / "start", "desta25"), "float32")
    model.core.perception.whisper.generation_config.suppress_tokens = [40, 41]
    model.core.save_pretrained(tmp_path / "again")
    model.processor.save_pretrained(tmp_path / "again")
    again: Any = load_speechlm(tmp_path / "again", "float32")
    assert again.core.perception.whisper.generation_config.suppress_tokens == [40, 41]


@pytest.mark.weights
def test_words_are_tokens_of_their_own_also_before_the_mark_that_ends_them(weights):
    tokenizer = load_tokenizer(weights("smollm2-135m-instruct"))
    turns = DestaTurns(whisper_ears(), tokenizer, tokenizer, rows=2)
    made = turns(["a <|AUDIO|> b"], [tiny_wave(0)], ["What is rain?"], {"add_special_tokens": False})
    pieces = ["a <start_audio><|AUDIO|><|AUDIO|>", "What is rain?", "<end_audio> b"]
    assert made["input_ids"][0].tolist() == [i for piece in pieces for i in tokenizer(piece)["input_ids"]]
    assert tokenizer("rain?<end_audio>")["input_ids"] != [
        *tokenizer("rain?")["input_ids"],
        *tokenizer("<end_audio>")["input_ids"],
    ]


def as_published(folder: Path, bases: Path) -> Path:
    """A saved DeSTA in its publisher's form: the connector alone, and the names of both base models."""
    model: Any = load_speechlm(folder, "float32")
    model.core.llm_model.save_pretrained(bases / "llm")
    model.lm.tokenizer.save_pretrained(bases / "llm")
    model.core.perception.whisper.save_pretrained(bases / "whisper")
    model.processor.scribe.save_pretrained(bases / "whisper")
    model.processor.ears.save_pretrained(bases / "whisper")
    for path in folder.iterdir():
        if path.is_file() and path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    for path in (folder / "whisper").iterdir():
        path.unlink()
    names = {"llm_model_id": str(bases / "llm"), "encoder_model_id": str(bases / "whisper")}
    published = {"placeholder_token": "<|reserved_special_token_87|>", "info": "DeSTA", "torch_dtype": "bfloat16"}
    return rewrite(folder, (LLM, WHISPER), **names, **published, audio_token_index=None)


def test_a_checkpoint_of_the_connector_alone_opens_with_the_models_that_it_names(tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path / "desta", "desta25")
    whole = logp(load_speechlm(folder, "float32"))
    as_published(folder, tmp_path)
    assert {name.split("connector.")[0] for name in load_file(folder / "model.safetensors")} == {"perception."}
    assert torch.equal(logp(load_speechlm(folder, "float32")), whole)


def test_weights_of_the_checkpoint_lie_over_those_of_the_base(tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path / "desta", "desta25")
    whole, name = logp(load_speechlm(folder, "float32")), f"{LLM}model.norm.weight"
    changed = {name: 2 * load_file(folder / "model.safetensors")[name]}
    rewrite(as_published(folder, tmp_path), add=changed)
    assert (logp(load_speechlm(folder, "float32")) - whole).abs().max() > 0.1


@pytest.mark.weights
def test_one_of_real_base_models_hears_what_was_said_and_writes_the_same_once_saved(weights, tmp_path: Path):
    names = {"llm_model_id": weights("smollm2-135m-instruct"), "encoder_model_id": weights("whisper-tiny.en")}
    sizes = {**{name: str(place) for name, place in names.items()}, "prompt_size": 8}
    connector = Connector(DestaConfig(**sizes)).state_dict()
    named = {f"{CONNECTOR}{key}": value.contiguous() for key, value in connector.items()}
    save_file(named, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "desta25", **sizes}))
    model: Any = load_speechlm(tmp_path)
    wave = load_engine("hibari").say("What is the capital of France?", Speaker("plain"), 0)
    assert model.listen(model.encode([wave]))[1] == ["What is the capital of France?"]
    model.core.save_pretrained(tmp_path / "whole")
    model.processor.save_pretrained(tmp_path / "whole")
    again = load_speechlm(tmp_path / "whole")
    assert again.listen(again.encode([wave]))[1] == ["What is the capital of France?"]


PROJ = f"{CONNECTOR}proj.1.bias"
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "lacks": ({"drop": (PROJ,)}, r"perception[.]connector of the checkpoint lacks proj[.]1[.]bias"),
    "has more": ({"add": {f"{CONNECTOR}layer_prompts.4": torch.ones(2)}}, r"has no place for layer_prompts[.]4"),
    "is of another size": ({"add": {PROJ: torch.ones(7)}}, "perception.connector have other shapes"),
    "lacks its LLM": ({"drop": (LLM,)}, "llm_model of the checkpoint lacks .* and more"),
    "is something else": ({"add": {"other.weight": torch.ones(2)}}, "other.weight, which is no part of a DeSTA"),
    "is adapted": ({"add": {f"{LLM}model.q.lora_A.weight": torch.ones(2)}}, "adapter of its own"),
    "says that it is adapted": ({"use_lora": True}, "adapter of its own"),
    "connects otherwise": ({"connector_mode": "mlp"}, "no Q-Former but mlp"),
    "hears otherwise": ({"encoder_config": {"model_type": "wav2vec2"}}, "but wav2vec2, 0 layers"),
    "has five layers": ({"encoder_config": {"model_type": "whisper", "encoder_layers": 5}}, "but whisper, 5 layers"),
    "writes nothing": ({"llm_config": {"model_type": "wav2vec2"}}, "none that writes: wav2vec2"),
    "names no model": ({"llm_model_id": "no/such-model"}, "its base model no/such-model cannot be opened"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_does_not_fit_is_refused_in_a_line(fault: str, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    change, words = FAULTS[fault]
    folder = rewrite(save_tiny_audio_lm(tmp_path, "desta25"), **change)
    with pytest.raises(ModelError, match=words):
        load_speechlm(folder, "float32")
