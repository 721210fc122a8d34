"""Gemma 3n: audio of one length, tokens that other parts embed, several streams, and eyes that are carried along."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from releases import needs
from safetensors.torch import load_file, save_file

from rba.lm.scorer import answer_states
from rba.models.load import load_speechlm
from rba.models.worded import unworded
from rba.testing.tiny_audio_lm import save_tiny_audio_lm, tiny_audio_lm
from rba.testing.tiny_utterances import tiny_wave

pytestmark = needs("gemma3n")
WAVES = [tiny_wave(0), tiny_wave(1, 1.0)]


@torch.no_grad()
def test_what_is_heard_is_filled_up_with_the_embedding_of_the_last_token():
    model = tiny_audio_lm("gemma3n")
    core, last = model.core.model, model.core.config.text_config.vocab_size - 1
    pad = core.embed_audio(input_ids=torch.tensor([last]))
    before, after = model._frame(None)
    short, long = features = model.encode(WAVES)
    assert 0 < len(short) < len(long) < core.config.audio_soft_tokens_per_image
    for feature, prompt in zip(features, model.prompts(features)):
        heard = unworded(prompt)[0][len(before) : len(prompt) - len(after)]
        assert len(heard) == core.config.audio_soft_tokens_per_image
        assert torch.equal(heard[len(feature) :], pad.expand(len(heard) - len(feature), -1))
        torch.testing.assert_close(heard[: len(feature)], core.embed_audio(inputs_embeds=feature[None])[0])


@torch.no_grad()
def test_tokens_of_images_and_audio_have_the_embeddings_of_their_parts_wherever_they_stand():
    model = tiny_audio_lm("gemma3n")
    core, seen = model.core.model, []
    ids = torch.arange(core.embed_vision.vocab_offset - 3, model.core.config.text_config.vocab_size)
    core.language_model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    model.core(input_ids=ids[None])
    core.language_model(input_ids=ids[None])
    whole, alone = seen
    assert torch.equal(unworded(model.lm.embed(ids.tolist()))[0], whole["inputs_embeds"][0])
    assert torch.equal(alone["inputs_embeds"], whole["inputs_embeds"])
    assert torch.equal(alone["per_layer_inputs"], whole["per_layer_inputs"])
    own = core.language_model.embed_tokens(ids)
    apart = (own - whole["inputs_embeds"][0]).abs().amax(-1) > 1e-3
    assert apart.tolist() == [False] * 3 + [True] * (len(ids) - 3)


@torch.no_grad()
def test_the_states_of_its_blocks_are_those_of_one_stream_each():
    model = tiny_audio_lm("gemma3n")
    prompts, answers = model.prompts(model.encode(WAVES)), [[40, 41, 2], [50, 51, 2]]
    both = answer_states(model.lm, prompts, answers, 4096, layers=True)
    for prompt, answer, found in zip(prompts, answers, both):
        (alone,) = answer_states(model.lm, [prompt], [answer], 4096, layers=True)
        assert found.layers_LD is not None and alone.layers_LD is not None
        assert found.layers_LD.shape == (5, 32)
        torch.testing.assert_close(found.layers_LD, alone.layers_LD, atol=1e-4, rtol=1e-4)


def test_the_weights_of_a_vision_tower_are_carried_along(tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path / "whole", "gemma3n")
    weights = load_file(folder / "model.safetensors")
    eyes = {f"model.vision_tower.timm_model.{name}": torch.randn(3, 2) for name in ("conv1.0.weight", "norm.bias")}
    names = sorted({**weights, **eyes})
    for part in (0, 1):  # in two files, as large checkpoints are
        own = {name: {**weights, **eyes}[name] for name in names[part::2]}
        save_file(own, folder / f"part-{part}.safetensors", {"format": "pt"})
    index = {name: f"part-{place % 2}.safetensors" for place, name in enumerate(names)}
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    opened = load_speechlm(folder, "float32")
    opened.core.save_pretrained(tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert again.keys() == weights.keys() | eyes.keys()
    assert all(torch.equal(again[name], weight) for name, weight in {**weights, **eyes}.items())
    told = [json.loads((place / "config.json").read_text()) for place in (folder, tmp_path / "again")]
    assert [config["architectures"] for config in told] == [["Gemma3nForConditionalGeneration"]] * 2
    assert told[1]["vision_config"] == {**told[0]["vision_config"], "dtype": "float32"}
    assert told[1]["vision_config"]["model_type"] == "gemma3n_vision"
