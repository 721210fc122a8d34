"""What is put on the LLM to be trained, as the recipe says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from alignment.conftest import SMALL
from rba.alignment.adapt import adapt
from rba.alignment.settings import LoraSettings
from rba.models.adapters import adapter_parameters, adapter_size, has_lora
from rba.models.full import is_full
from rba.testing.tiny_speechlm import tiny_speechlm


def test_an_adapter_is_put_on_as_large_as_asked_for_and_the_same_for_one_seed():
    models = [tiny_speechlm(), tiny_speechlm(), tiny_speechlm()]
    for model, seed in zip(models, (3, 3, 4)):
        adapt(model, SMALL, seed)
    one, same, other = (torch.cat([p.flatten() for p in adapter_parameters(model)]) for model in models)
    assert adapter_size(models[0]) == (4, 8, 0.0) and not is_full(models[0].lm)
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("rank", [0, 4])
def test_copies_are_put_on_whatever_the_rank_of_an_adapter(rank: int):
    model = tiny_speechlm()
    adapt(model, replace(SMALL, tuning="full", lora=LoraSettings(rank=rank)), 0)
    assert is_full(model.lm)


def test_an_adapter_without_a_rank_is_none():
    model = tiny_speechlm()
    adapt(model, replace(SMALL, train_connector=True, lora=LoraSettings(rank=0)), 0)
    assert not has_lora(model.lm)
