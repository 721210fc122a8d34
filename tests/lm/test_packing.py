"""Weights that are laid out beforehand multiply as the layers themselves do, and only while they are asked to."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Linear

from rba.lm import decoding, packing
from rba.lm.generation import generate
from rba.lm.load import TextLM
from rba.lm.number_format import x86_multiplies_bfloat16
from rba.lm.packing import Packed
from rba.lm.sampling import Sampling
from rba.models.adapters import adapter_parameters, add_lora
from rba.testing.tiny_lm import tiny_text_lm
from rba.testing.tiny_speechlm import tiny_speechlm

multiplies = pytest.mark.skipif(not x86_multiplies_bfloat16(), reason="the CPU does not multiply bfloat16")
PROMPTS = [[5, 6, 7], [8, 9], [4] * 9]


def halves(bias: bool = False) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(Linear(48, 80, bias=bias), torch.nn.SiLU(), Linear(80, 32, bias=bias)).bfloat16()


def half_lm() -> TextLM:
    lm = tiny_text_lm()
    lm.model.bfloat16()
    return lm


def replaced(model: torch.nn.Module) -> list[torch.nn.Module]:
    return [module for module in model.modules() if "forward" in module.__dict__]


@multiplies
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 4, 33])
@torch.no_grad()
def test_products_are_those_of_the_plain_layers(rows: int, bias: bool):
    model, states_B1D = halves(bias), torch.randn(rows, 1, 48).bfloat16()
    plain = model(states_B1D)
    with Packed(model, rows):
        assert len(replaced(model)) == 2
        torch.testing.assert_close(model(states_B1D), plain, atol=0.01, rtol=0.01)


@multiplies
def test_the_layers_are_their_own_again_also_after_an_error():
    model = halves()
    packed = Packed(model, 4)
    with pytest.raises(RuntimeError), packed:
        model(torch.ones(4, 7).bfloat16())
    assert not replaced(model)
    with packed:
        assert replaced(model)
    assert not replaced(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_number_formats_are_left_alone(dtype: torch.dtype):
    model = halves().to(dtype)
    with Packed(model, 4):
        assert not replaced(model)


def test_a_model_that_is_too_large_to_hold_twice_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    model = halves()
    monkeypatch.setattr(packing, "MOST", sum(weight.nbytes for weight in model.parameters()) - 1)
    with Packed(model, 4):
        assert not replaced(model)


@multiplies
def test_a_forward_that_someone_has_put_there_stays():
    model = halves()
    own = model[0].__dict__["forward"] = model[0].forward
    with Packed(model, 4):
        assert model[0].__dict__["forward"] is own and replaced(model) == [model[0], model[2]]
    assert replaced(model) == [model[0]]


@multiplies
def test_answers_follow_weights_that_change_between_draws(monkeypatch: pytest.MonkeyPatch):
    built: list[Packed] = []

    class Watched(Packed):
        def __init__(self, model: torch.nn.Module, rows: int):
            super().__init__(model, rows)
            built.append(self)

    monkeypatch.setattr(decoding, "Packed", Watched)
    monkeypatch.setattr(decoding.Fused, "of", lambda *args: None)
    lm, long = half_lm(), Sampling(1.0, 1.0, decoding.WORTH + 4)

    def drawn() -> list[list[int]]:
        return [answer.ids for row in generate(lm, PROMPTS, long, range(6), 2) for answer in row]

    before = drawn()
    with torch.no_grad():
        for weight in lm.model.parameters():
            weight.mul_(-1.5)
    assert drawn() != before and len(built) == 2


@multiplies
def test_a_few_steps_are_not_worth_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding, "Packed", None)
    monkeypatch.setattr(decoding.Fused, "of", lambda *args: None)
    generate(half_lm(), PROMPTS, Sampling(1.0, 1.0, decoding.WORTH - 1), range(3))


def adapted(dropout: float = 0.0) -> torch.nn.Module:
    """A tiny LLM of bfloat16 under LoRA that does something."""
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 12, dropout, seed=1)
    model = speechlm.lm.model
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapter_parameters(speechlm):
            parameter.normal_(0, 0.2)
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data if "lora" in name else parameter.data.bfloat16()
    return model


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        return model(torch.tensor([[5, 6, 7, 8]])).logits.float()


@multiplies
def test_an_adapter_is_summed_with_its_layer():
    model = adapted()
    layers = [module for module in model.modules() if hasattr(module, "lora_A")]
    plain = logits(model)
    with model.disable_adapter():
        without = logits(model)
    with Packed(model, 4):
        packed = logits(model)
        assert all("forward" in layer.__dict__ for layer in layers)
        assert not any("forward" in layer.base_layer.__dict__ for layer in layers)
    truth = logits(adapted().float())
    assert (packed - truth).norm() < 1.2 * (plain - truth).norm() < 0.1 * (without - truth).norm()


@multiplies
def test_adapters_out_of_use_add_nothing():
    model = adapted()
    with model.disable_adapter():
        plain = logits(model)
        with Packed(model, 4):
            torch.testing.assert_close(logits(model), plain, atol=0.02, rtol=0.02)


@multiplies
def test_an_adapter_with_dropout_is_left_to_itself_in_training():
    model = adapted(dropout=0.5)
    layers = [module for module in model.modules() if hasattr(module, "lora_A")]
    with Packed(model.train(), 4):
        assert not any("forward" in layer.__dict__ for layer in layers)
        assert all("forward" in layer.base_layer.__dict__ for layer in layers)
    with Packed(model.eval(), 4):
        assert all("forward" in layer.__dict__ for layer in layers)
