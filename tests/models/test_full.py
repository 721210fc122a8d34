"""Full fine-tuning: trained copies of the LLM's weights beside the frozen ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from releases import each
from transformers import AutoModelForCausalLM

from rba.errors import ModelError
from rba.export.transformers import write
from rba.lm.scoring import backbone
from rba.models.adapters import adapter_parameters, add_lora, for_inference, reference
from rba.models.conformance_checks import Subject, trains
from rba.models.full import add_full, is_full, weighty
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import BUILDERS, tiny_audio_lm
from rba.testing.tiny_speechlm import save_tiny_speechlm, tiny_speechlm

IDS = torch.tensor([[5, 6, 7, 8]])


def logits(speechlm) -> torch.Tensor:
    with torch.no_grad():
        return speechlm.lm.model(inputs_embeds=speechlm.lm.embed(IDS[0].tolist())[None]).logits


def moved(speechlm) -> None:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in adapter_parameters(speechlm):
            parameter.add_(0.05 * torch.randn_like(parameter))


def test_they_begin_as_what_they_are_copies_of_and_the_model_without_them_stays_what_it_was():
    speechlm = tiny_speechlm()
    before = logits(speechlm)
    add_full(speechlm)
    assert torch.equal(logits(speechlm), before)
    moved(speechlm)
    assert (logits(speechlm) - before).abs().max() > 0.1
    with reference(speechlm):
        assert torch.equal(logits(speechlm), before)


def test_all_weights_of_the_blocks_are_trained_and_nothing_else():
    speechlm = tiny_speechlm()
    blocks = sum(p.numel() for p in backbone(speechlm.lm.model).layers.parameters())
    add_full(speechlm)
    trained = [p for p in speechlm.lm.model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == blocks
    assert {id(p) for p in trained} == {id(p) for p in adapter_parameters(speechlm)}


@pytest.mark.parametrize("family", each(sorted(BUILDERS)))
def test_every_family_has_weights_to_copy_inside_its_blocks_alone(family: str):
    model = tiny_audio_lm(family).lm.model
    blocks, modules = backbone(model).layers, dict(model.named_modules())
    found = [modules[name] for name in weighty(model)]
    own = [p for module in found for p in module.parameters()]
    assert len({id(p) for p in own}) == len(own)
    assert {id(p) for p in own} == {id(p) for p in blocks.parameters()}


def test_a_checkpoint_holds_them_and_opens_with_them(tmp_path: Path):
    base = save_tiny_speechlm(tmp_path / "base")
    speechlm = load_speechlm(base, "float32")
    add_full(speechlm)
    moved(speechlm)
    speechlm.save(tmp_path / "full")
    again = load_speechlm(tmp_path / "full", "float32")
    assert is_full(again.lm)
    assert torch.equal(logits(again), logits(speechlm))


def test_for_inference_they_take_the_place_of_what_they_are_copies_of():
    speechlm = tiny_speechlm()
    size = sum(p.numel() for p in speechlm.lm.model.parameters())
    add_full(speechlm)
    moved(speechlm)
    expected = logits(speechlm)
    for_inference(speechlm)
    assert torch.equal(logits(speechlm), expected)
    assert sum(p.numel() for p in speechlm.lm.model.parameters()) == size


def test_one_that_carries_them_goes_on_and_takes_no_adapter_and_the_other_way_round():
    speechlm = tiny_speechlm()
    add_full(speechlm)
    model = speechlm.lm.model.requires_grad_(False)
    add_full(speechlm)
    assert speechlm.lm.model is model and all(p.requires_grad for p in adapter_parameters(speechlm))
    with pytest.raises(ModelError, match=r"takes no adapter .*align.tuning=full"):
        add_lora(speechlm, 4, 8)
    adapted = tiny_speechlm()
    add_lora(adapted, 4, 8)
    with pytest.raises(ModelError, match=r"carries an adapter.*align.tuning=lora"):
        add_full(adapted)


def test_exported_they_are_the_weights_of_a_plain_model(tmp_path: Path):
    speechlm = load_speechlm(save_tiny_speechlm(tmp_path / "base"), "float32")
    add_full(speechlm)
    moved(speechlm)
    speechlm.save(tmp_path / "full")
    write(tmp_path / "plain", tmp_path / "full")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", dtype=torch.float32)
    with torch.no_grad():
        assert torch.allclose(plain(IDS).logits, logits(speechlm), atol=1e-5)


def test_a_check_trains_them_where_a_model_carries_them():
    speechlm = tiny_speechlm()
    add_full(speechlm)
    moved(speechlm)
    told = trains(Subject(speechlm, [0.1 * torch.randn(16000).numpy() for _ in range(3)]))
    assert f"adapter {sum(p.numel() for p in adapter_parameters(speechlm)):,} weights" in told
