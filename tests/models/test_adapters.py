"""LoRA on an LLM: how it begins, and what becomes of one that is there."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from rba.errors import ModelError
from rba.models.adapters import adapter_dropout, add_lora
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
    with pytest.raises(ModelError, match="no layers of these names") as refused:
        add_lora(tiny_speechlm(), targets=targets)
    assert "q_proj" in refused.value.fix


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
