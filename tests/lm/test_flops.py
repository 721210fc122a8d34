"""What a decoder needs is what torch counts, and nothing is counted twice."""

from __future__ import annotations

import pytest
import torch

from rba.lm.attention import short_attention
from rba.lm.flops import Decoder, Work, countable, matmul_rate, row_work, shared_work
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.full import add_full
from rba.testing.tiny_lm import tiny_text_lm
from rba.testing.tiny_speechlm import tiny_speechlm


def test_the_shape_of_a_decoder_is_its_weights():
    speechlm = tiny_speechlm()
    layers = speechlm.lm.model.get_decoder().layers
    linear = sum(m.weight.numel() for m in layers.modules() if isinstance(m, torch.nn.Linear))
    assert Decoder.of(speechlm.lm.model).weights == linear
    add_lora(speechlm, rank=3)
    assert Decoder.of(speechlm.lm.model).adapter == sum(p.numel() for p in adapter_parameters(speechlm))


def test_a_decoders_flops_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    lm = tiny_text_lm()
    with FlopCounterMode(display=False) as counter, short_attention(lm.device), torch.no_grad():
        lm.model(torch.tensor([[5]]))
    shape, work = Decoder.of(lm.model), shared_work([1], [[]])
    wanted = shape.forward(work) + shape.head(Work(1, 1, 1))
    assert counter.get_total_flops() == pytest.approx(wanted, rel=0.01)  # rotary angles are a product, too


@pytest.mark.parametrize("full", [False, True])
def test_so_are_those_of_its_gradient(full: bool):
    from torch.utils.flop_counter import FlopCounterMode

    speechlm = tiny_speechlm()
    if full:
        add_full(speechlm)
    shape, work = Decoder.of(speechlm.lm.model), shared_work([1], [[]])
    assert shape.full == full and shape.trained == (shape.weights if full else 0)
    prompt = torch.randn(1, 1, shape.width, requires_grad=True)
    with FlopCounterMode(display=False) as counter, short_attention(speechlm.lm.device):
        speechlm.lm.model(inputs_embeds=prompt).logits.sum().backward()
    wanted = shape.forward(work) + shape.backward(work) + 2 * shape.head(Work(1, 1, 1))
    assert counter.get_total_flops() == pytest.approx(wanted, rel=0.02)


def test_shared_work_passes_nothing_twice():
    shared, rows = shared_work([10, 12], [[3, 5], [4]], common=6), row_work([10, 12], [[3, 5], [4]])
    assert shared.tokens == 6 + 4 + 6 + 2 + 4 + 3
    assert rows.tokens == 12 + 14 + 15
    assert shared.positions == rows.positions == 12
    assert rows.pairs == sum(n * (n + 1) // 2 for n in (12, 14, 15))
    again = shared_work([10], [[3]], common=6)
    assert again == row_work([10], [[3]])


def test_a_decoder_of_another_shape_is_not_counted():
    speechlm = tiny_speechlm()
    assert countable(speechlm.lm.model)
    copied = tiny_speechlm()
    add_full(copied)
    assert countable(copied.lm.model)
    add_lora(speechlm, rank=3)
    assert countable(speechlm.lm.model)
    speechlm.lm.model.get_decoder().layers[0].mlp.extra = torch.nn.Linear(32, 64)
    assert not countable(speechlm.lm.model)
    assert not countable(torch.nn.Linear(2, 2))


def test_the_matmul_rate_is_measured_once():
    rate = matmul_rate(torch.device("cpu"), torch.float32)
    assert rate > 1e8
    assert matmul_rate(torch.device("cpu"), torch.float32) == rate
