"""What a plan says that training keeps is near what autograd keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rba.lm.flops import Decoder
from rba.lm.scorer import answer_states
from rba.models.adapters import add_lora
from rba.plan.memory import activations
from rba.plan.plan import Options, make_plan
from rba.plan.updates import Updates
from rba.recipe import load_recipe
from rba.testing.tiny_speechlm import tiny_speechlm


def test_divided_blocks_are_held_by_all_devices_together_and_packed_ones_in_a_quarter():
    recipe = Path(__file__).parents[2] / "recipes" / "paper.yaml"

    def weights(*overrides: str) -> float:
        plan = make_plan(load_recipe(recipe, overrides), Options(gpus=8))
        found = next(one for one in plan.stages if one.name == "align/sft")
        return next(part.bytes for part in found.memory if part.what == "SpeechLM weights")

    decoder = make_plan(load_recipe(recipe)).basis.hearing.decoder
    blocks = 2 * decoder.weights
    spared = weights("align.sharding=none") - weights("align.sharding=fsdp")
    assert spared == pytest.approx(blocks * (1 - 1 / 8 - 2 / decoder.layers))
    spared = weights("align.quantize=none") - weights("align.quantize=nf4")
    assert spared == pytest.approx(blocks * (1 - 4.127 / 16), rel=1e-4)


def test_all_weights_take_masters_moments_gradients_and_copies():
    recipe = Path(__file__).parents[2] / "recipes" / "paper.yaml"
    found = make_plan(load_recipe(recipe, ["align.tuning=full", "align.sharding=none"]))
    stage = next(one for one in found.stages if one.name == "align/sft")
    trained = next(part.bytes for part in stage.memory if part.what == "trained copies, gradient and optimiser")
    assert trained == 20 * found.basis.hearing.decoder.weights


@pytest.mark.parametrize(
    ("dtype", "whole", "divided"),
    [("bfloat16", 4, 16), ("float32", 8, 8)],  # copies and gradients | masters, theirs and moments
)
def test_of_all_weights_that_are_trained_eight_devices_divide_masters_and_moments(dtype: str, whole: int, divided: int):
    recipe = Path(__file__).parents[2] / "recipes" / "paper.yaml"
    overrides = ["align.tuning=full", "align.sharding=fsdp", f"align.dtype={dtype}"]
    found = make_plan(load_recipe(recipe, overrides), Options(gpus=8))
    stage = next(one for one in found.stages if one.name == "align/sft")
    trained = next(part.bytes for part in stage.memory if part.what == "trained copies, gradient and optimiser")
    assert trained == (whole + divided / 8) * found.basis.hearing.decoder.weights


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_near_those_that_autograd_saves(checkpointing: bool):
    speechlm = tiny_speechlm()
    add_lora(speechlm, 2)
    decoder = Decoder.of(speechlm.lm.model)
    prompts = [torch.randn(40, decoder.width) for _ in range(3)]
    answers = [list(range(5, 25)) for _ in prompts]
    weights = {p.untyped_storage().data_ptr() for p in speechlm.lm.model.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        states = answer_states(speechlm.lm, prompts, answers, 4096, recompute=checkpointing)
    assert states[0].last_RD.requires_grad
    found = Updates(0.0, 0.0, 0.0, (120, ((40, 20),) * 3))
    kept = sum(storage.nbytes() for storage in saved.values())
    # a block that runs again holds its own activations for a moment: autograd saves none of them
    once = activations(decoder, found, False) / decoder.layers if checkpointing else 0.0
    assert 0.6 * kept < activations(decoder, found, checkpointing) - once < 1.5 * kept
