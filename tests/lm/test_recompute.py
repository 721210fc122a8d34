"""Checkpointed blocks give the same states and gradients, with and without shared prompts, and keep less."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, FalconConfig, GPTNeoXConfig

from rba.errors import ModelError
from rba.lm.recompute import check_recomputed, recomputed
from rba.lm.scorer import answer_states
from rba.lm.scoring import backbone
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.compact import CompactSpeechLM
from rba.testing.tiny_speechlm import tiny_speechlm

ANSWERS = [[5, 6, 7, 2], [9], [10, 11, 12, 13, 14, 15, 2], [20, 21]]


@pytest.fixture
def adapted() -> CompactSpeechLM:
    """The tiny SpeechLM with an adapter that does something."""
    speechlm = tiny_speechlm()
    add_lora(speechlm, 4, 8, dropout=0.2, seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapter_parameters(speechlm):
            parameter.normal_(0, 0.2)
    return speechlm


def gradient(speechlm: CompactSpeechLM, recompute: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """States, gradients of adapter and prompts for a loss on all states, and the numbers kept for the backward pass."""
    one, two = (p.detach().requires_grad_() for p in speechlm.text_prompts(["hello there", "what is a tree?"]))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    torch.manual_seed(3)
    speechlm.lm.model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = answer_states(speechlm.lm, [one, two, two, one], ANSWERS, 16, layers=True, recompute=recompute)
        states = torch.cat([row.last_RD for row in found])
        (states * torch.linspace(-1, 1, len(states))[:, None]).sum().backward()
    grads = torch.cat([p.grad.flatten() for p in adapter_parameters(speechlm)])
    return states.detach(), grads, torch.cat([one.grad.flatten(), two.grad.flatten()]), sum(kept.values())


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("dropout", [False, True])
def test_states_and_gradients_are_the_same_and_less_is_kept(
    adapted: CompactSpeechLM, shared: bool, dropout: bool, monkeypatch: pytest.MonkeyPatch
):
    if not shared:
        monkeypatch.setattr("rba.lm.scorer.keeps_everything", lambda lm: False)
    adapted.lm.model.train(dropout)
    plain, light = gradient(adapted, False), gradient(adapted, True)
    for ours, theirs in zip(light[:3], plain[:3]):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    assert light[3] < 0.7 * plain[3]


OTHERS = {
    "not a list of blocks": FalconConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=9),
    "in a way of their own": GPTNeoXConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=9
    ),
}


@pytest.mark.parametrize("reason", OTHERS)
def test_blocks_that_cannot_be_run_again_are_refused(reason: str):
    decoder = backbone(AutoModelForCausalLM.from_config(OTHERS[reason]))
    with pytest.raises(ModelError, match=rf"{reason} \(align\.gradient_checkpointing\); set it to false"):
        check_recomputed(decoder)


def test_outside_the_blocks_are_as_they_were(adapted: CompactSpeechLM):
    blocks = backbone(adapted.lm.model).layers
    with recomputed(backbone(adapted.lm.model), True):
        assert all("forward" in vars(block) for block in blocks)
    assert not any("forward" in vars(block) for block in blocks)
    with torch.no_grad(), recomputed(backbone(adapted.lm.model), True):
        assert not any("forward" in vars(block) for block in blocks)
