"""What single families bring along: whole Omni checkpoints, an adapter for speech, blocks of experts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from releases import each, needs
from safetensors.torch import load_file, save_file

from rba.errors import ModelError
from rba.lm.generation import generate
from rba.lm.sampling import Sampling
from rba.lm.scorer import answer_states, score
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.audio_lm import TOGETHER, wrap
from rba.models.bridge import class_of
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import BUILDERS, save_tiny_audio_lm, tiny_audio_lm, tiny_audio_tokenizer
from rba.testing.tiny_utterances import tiny_wave

ANSWERS = [[40, 41, 42, 2], [50, 2]]
WAVES = [tiny_wave(0), tiny_wave(1, 1.0)]


def logp(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat(score(model.lm, model.prompts(model.encode(WAVES)), ANSWERS, 512))


def adapted(model: Any) -> set[str]:
    """The places in the LLM's blocks, and elsewhere, that an adapter on all linear layers is put on."""
    add_lora(model, 2, 4, seed=1)
    names = [name.split(".lora_A")[0] for name, _ in model.lm.model.named_parameters() if ".lora_A" in name]
    return {name.removeprefix("base_model.model.model.").replace(".0.", ".").replace(".1.", ".") for name in names}


@pytest.mark.parametrize("whole", each(["qwen2_5_omni", "qwen3_omni_moe"]))
def test_a_whole_omni_checkpoint_opens_as_its_thinker(whole: str, tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path, f"{whole}_thinker")
    thinker = logp(load_speechlm(folder, "float32"))
    published = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        plain = name.removeprefix("thinker.").replace("model.language_model.", "model.")
        published["thinker." + plain.replace("model.audio_tower", "audio_tower")] = weight
    save_file(published, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": whole, "thinker_config": config}))
    assert torch.equal(logp(load_speechlm(folder, "float32")), thinker)


@needs("phi4_multimodal")
def test_phi_4_hears_through_the_adapter_of_its_checkpoint(tmp_path: Path):
    from peft import LoraConfig, get_peft_model

    folder, base = save_tiny_audio_lm(tmp_path / "phi", "phi4_multimodal"), tiny_audio_lm("phi4_multimodal")
    bare = logp(load_speechlm(folder, "float32"))
    torch.testing.assert_close(bare.cpu(), logp(base), atol=1e-4, rtol=0)
    own = get_peft_model(base.core, LoraConfig(r=2, target_modules=r"model[.]layers[.].*[.](qkv|o)_proj"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in own.named_parameters():
            if "lora_B" in name:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    own.save_pretrained(folder / "speech-lora")
    base.lm.model = own
    opened = load_speechlm(folder, "float32")
    torch.testing.assert_close(logp(opened).cpu(), logp(base), atol=1e-4, rtol=0)
    assert (logp(opened) - bare).abs().max() > 0.1
    opened.save(tmp_path / "aligned")
    assert torch.equal(logp(load_speechlm(tmp_path / "aligned", "float32")), logp(opened))


@needs("phi4_multimodal")
def test_no_adapter_is_put_on_the_towers_that_phi_4_holds_in_its_llm():
    places = adapted(tiny_audio_lm("phi4_multimodal"))
    inside = {"self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"}
    assert places == {f"layers.{name}" for name in inside}


@needs("qwen3_omni_moe_thinker")
def test_of_blocks_of_experts_the_attention_is_adapted():
    places = {name.removeprefix("language_model.") for name in adapted(tiny_audio_lm("qwen3_omni_moe_thinker"))}
    assert places == {f"layers.self_attn.{name}_proj" for name in "qkvo"}


def apart(rows: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(rows, others, strict=True))


@pytest.mark.parametrize("name", each(name for name in BUILDERS if name != "desta25"))
def test_clips_of_one_form_are_heard_together_as_each_alone(name: str, monkeypatch: pytest.MonkeyPatch):
    model, few = tiny_audio_lm(name), 4
    assert model._at_once == TOGETHER
    monkeypatch.setattr(model, "_at_once", few)
    waves = [tiny_wave(number, (0.5, 0.7, 1.0)[number % 3]) for number in range(3 * few + 4)]
    alone = [model.encode([wave])[0] for wave in waves]
    sizes, hear = [], model._heard
    monkeypatch.setattr(model, "_heard", lambda clips: sizes.append(len(clips)) or hear(clips))
    assert apart(model.encode(waves), alone) < 1e-5
    assert apart(alone[::3], alone[::3][::-1]) > 1e-3
    if name == "qwen2_5_omni_thinker" and sizes[1] == 1:
        # where its projector reads clip after clip, the first batch is heard again, and no other is made
        assert tuple(map(int, transformers.__version__.split(".")[:2])) < (5, 14)
        assert sizes == [few] + [1] * len(waves)
        return
    assert sum(sizes) == len(waves)
    assert max(sizes) == few


@pytest.mark.parametrize("name", each(["audioflamingo3", "musicflamingo", "glmasr", "voxtral"]))
def test_clips_of_several_windows_are_heard_together(name: str):
    model = tiny_audio_lm(name)
    waves = [tiny_wave(0, 12.0), tiny_wave(1, 12.0), tiny_wave(2, 15.0)]
    assert apart(model.encode(waves), [model.encode([wave])[0] for wave in waves]) < 1e-5


def gradients(model: Any, recompute: bool) -> torch.Tensor:
    """Of the adapter, for a loss on all states that predict two answers to each clip."""
    one, two = model.prompts(model.encode(WAVES))
    model.lm.model.zero_grad()
    rows = answer_states(model.lm, [one, two, one, two], ANSWERS + ANSWERS, 512, recompute=recompute)
    states = torch.cat([row.last_RD for row in rows])
    (states * torch.linspace(-1, 1, states.numel()).reshape(states.shape)).sum().backward()
    return torch.cat([p.grad.flatten() for p in adapter_parameters(model)])


RUN_AGAIN = [
    "voxtral",
    "phi4_multimodal",
    "qwen3_omni_moe_thinker",
    "gemma4_unified",
    "nemotron_h_omni",
    "ultravox",
    "salmonn",
]


@pytest.mark.parametrize("name", each(RUN_AGAIN))
def test_blocks_that_run_again_in_the_backward_pass_change_no_gradient(name: str):
    model = tiny_audio_lm(name)
    add_lora(model, 2, 4, seed=1)
    with torch.no_grad():
        for number, parameter in enumerate(adapter_parameters(model)):
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
    plain = gradients(model, False)
    assert plain.abs().max() > 0.01
    torch.testing.assert_close(gradients(model, True), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", each(["gemma3n", "gemma4"]))
def test_blocks_that_read_each_others_keys_are_not_run_again(name: str):
    model = tiny_audio_lm(name)
    add_lora(model, 2, 4, seed=1)
    with pytest.raises(ModelError, match=r"read each other's keys and values.*gradient_checkpointing"):
        gradients(model, True)


def test_a_family_that_the_installed_transformers_lacks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rba.models.families import FAMILIES

    folder = save_tiny_audio_lm(tmp_path, "qwen2_audio")
    family = FAMILIES["qwen2_audio"]
    monkeypatch.setitem(FAMILIES, "qwen2_audio", replace(family, model_class="Qwen2AudioOfTomorrow"))
    with pytest.raises(ModelError, match=r"transformers 5\..* has no Qwen2-Audio.*upgrade it"):
        load_speechlm(folder)
    monkeypatch.setitem(FAMILIES, "qwen2_audio", replace(family, since="5.999"))
    with pytest.raises(
        ModelError, match=r"Qwen2-Audio works with transformers 5\.999 and newer, but this is 5\..*upgrade"
    ):
        load_speechlm(folder)


@pytest.mark.parametrize("name", each(["gemma4", "gemma4_unified", "nemotron_h_omni"]))
def test_one_that_cannot_hear_is_refused(name: str):
    from rba.models.families import FAMILIES

    config, processor = BUILDERS[name](tiny_audio_tokenizer())
    config.audio_config = None
    core = class_of(FAMILIES[name])(config)
    with pytest.raises(ModelError, match=f"this {FAMILIES[name].title} cannot hear"):
        wrap(core, processor, FAMILIES[name], "source", "name")


@torch.no_grad()
@pytest.mark.parametrize("name", each(["gemma3n", "gemma4_unified", "nemotron_h_omni"]))
def test_answers_are_drawn_in_groups_that_end_at_different_steps(name: str):
    model = tiny_audio_lm(name)
    model.lm.end_ids = list(range(60, 100))
    prompts = model.prompts(model.encode(WAVES))
    drawn = generate(model.lm, prompts, Sampling(max_new_tokens=24), list(range(8)), group=4)
    assert len({len(answer.ids) for answers in drawn for answer in answers}) > 2
    for prompt, answers in zip(prompts, drawn):
        scored = score(model.lm, [prompt] * 4, [answer.ids for answer in answers], 512)
        for own, answer in zip(scored, answers):
            torch.testing.assert_close(own, torch.tensor(answer.logprobs), atol=1e-4, rtol=0)
