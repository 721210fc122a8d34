"""LoRA on an LLM: how it begins, and what becomes of one that is there."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from releases import each
from transformers import AutoModelForCausalLM, FalconH1Config, PhimoeConfig

from rba.errors import ModelError
from rba.lm.scoring import backbone
from rba.models.adapters import adapter_dropout, adapter_parameters, add_lora, reference
from rba.models.targets import linear_layers
from rba.testing.tiny_audio_lm import BUILDERS, tiny_audio_lm
from rba.testing.tiny_speechlm import tiny_speechlm


def test_its_dropout_is_off_until_an_update():
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 8, dropout=0.5)
    assert not any(module.training for module in speechlm.lm.model.modules())


def test_one_that_is_there_is_trained_on_and_must_be_what_is_asked_for():
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 8)
    model = speechlm.lm.model.requires_grad_(False)
    with pytest.raises(ModelError, match="another size") as refused:
        add_lora(speechlm, 64, 8)
    assert "rank: 4, alpha: 8, dropout: 0.0" in refused.value.fix
    add_lora(speechlm, 4, 8)
    assert speechlm.lm.model is model
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {
        n for n, _ in model.named_parameters() if "lora_" in n
    }


@pytest.mark.parametrize("targets", ["qproj", ["qproj"], [], "["])
def test_targets_that_name_no_layer_are_refused_with_those_that_there_are(targets):
    with pytest.raises(ModelError, match=r"get no adapter: .*\(align\.lora\.targets .*name some of") as refused:
        add_lora(tiny_speechlm(), targets=targets)
    assert "q_proj" in refused.value.fix


def test_one_on_other_layers_is_refused_with_those_that_it_is_on():
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 8, targets=["q_proj", "mlp.up_proj"])
    with pytest.raises(ModelError, match="on other layers") as refused:
        add_lora(speechlm, 4, 8)
    assert "targets: [q_proj, up_proj]" in refused.value.fix
    with pytest.raises(ModelError, match="this is no pattern"):
        add_lora(speechlm, 4, 8, targets="[")
    for same in (["up_proj", "q_proj"], r".*(q_proj|up_proj)"):
        add_lora(speechlm, 4, 8, targets=same)


def test_one_on_some_of_the_blocks_is_told_by_its_pattern():
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 8, targets=r".*layers[.]0[.].*q_proj")
    with pytest.raises(ModelError, match="on other layers") as refused:
        add_lora(speechlm, 4, 8, targets=["q_proj"])
    assert 'targets: ".*layers[.]0[.].*q_proj"' in refused.value.fix


@pytest.mark.parametrize("family", each(BUILDERS))
@pytest.mark.parametrize("targets", ["all-linear", ["o_proj", "down_proj"]])
def test_one_of_the_same_targets_is_trained_on_in_every_family(family: str, targets: str | list[str]):
    speechlm = tiny_audio_lm(family)
    linear = {name.rpartition(".")[2] for name in linear_layers(backbone(speechlm.lm.model).layers)}
    targets = targets if isinstance(targets, str) else sorted(linear & {*targets, "out_proj"})
    add_lora(speechlm, 4, 8, targets=targets)
    add_lora(speechlm, 4, 8, targets=targets)
    if isinstance(targets, list) and linear != set(targets):
        with pytest.raises(ModelError, match="on other layers"):
            add_lora(speechlm, 4, 8)


@pytest.mark.parametrize(("targets", "idle"), [(["q_proj", "qproj"], "qproj"), (["v_proj", ""], "")])
def test_a_name_that_no_layer_has_is_told_beside_those_that_are_there(targets: list[str], idle: str):
    for speechlm in (tiny_speechlm(), tiny_audio_lm()):
        with pytest.raises(ModelError, match=f'no layer named "{idle}".*q_proj'):
            add_lora(speechlm, 4, 8, targets=targets)


@pytest.mark.parametrize(
    ("make", "targets", "stray"),
    [
        (tiny_speechlm, ["q_proj", "embed_tokens"], "embed_tokens"),
        (tiny_audio_lm, ".*language_model.*q_proj|.*linear", "projector"),
        (tiny_audio_lm, ".*(fc1|q_proj)", "audio_tower"),
    ],
)
def test_an_adapter_outside_of_the_blocks_is_refused(make, targets: str | list[str], stray: str):
    with pytest.raises(ModelError, match=f"outside of the LLM's blocks is not used: .*{stray}"):
        add_lora(make(), 4, 8, targets=targets)


def test_the_head_may_be_adapted():
    add_lora(tiny_speechlm(), 4, 8, targets=["q_proj", "lm_head"])


def test_routers_get_none_and_a_layer_that_cannot_have_one_is_told():
    sizes = {"vocab_size": 259, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    speechlm = tiny_speechlm()
    speechlm.lm.model = AutoModelForCausalLM.from_config(
        PhimoeConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, num_local_experts=2)
    )
    add_lora(speechlm, 4, 8)
    names = [name for name, _ in speechlm.lm.model.named_parameters() if "lora_" in name]
    assert names and not any("router" in name for name in names)
    speechlm.lm.model(torch.tensor([[5, 6]]))
    speechlm.lm.model = AutoModelForCausalLM.from_config(
        FalconH1Config(**sizes, num_attention_heads=4, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8)
    )
    with pytest.raises(ModelError, match="'out_proj' is incompatible with Mamba") as refused:
        add_lora(speechlm, 4, 8)
    assert "q_proj" in refused.value.fix and "out_proj" not in refused.value.fix


def test_an_adapter_that_is_frozen_stays_so_when_it_has_been_off():
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 8)
    trained, frozen = adapter_parameters(speechlm)[:2]
    frozen.requires_grad_(False)
    with reference(speechlm):
        pass
    assert trained.requires_grad and not frozen.requires_grad


def test_saving_one_asks_no_hub_what_its_base_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*args: object, **kwargs: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("peft.utils.other.file_exists", refused)
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 8)
    speechlm.lm.model.peft_config["default"].base_model_name_or_path = "an/llm"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        speechlm.save(tmp_path)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_dropout_of_an_update_is_the_adapters_alone():
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 8, dropout=0.5)
    with adapter_dropout(speechlm):
        training = {name for name, module in speechlm.lm.model.named_modules() if module.training}
        assert training and all("lora_dropout" in name for name in training)
    assert not any(module.training for module in speechlm.lm.model.modules())
