"""Drawing tokens: exact distributions, seeds that stand alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.errors import RecipeError
from rba.lm.sampling import Sampling, draw, uniforms


def frequencies(logits, sampling, draws=20_000):
    uniform = torch.from_numpy((np.arange(draws) + 0.5) / draws)
    tokens = draw(logits.expand(draws, -1), uniform, sampling)
    return torch.bincount(tokens, minlength=logits.shape[-1]).double() / draws


def test_samples_follow_the_softmax():
    logits = torch.randn(1, 40, generator=torch.Generator().manual_seed(0))
    expected = logits[0].double().softmax(-1)
    assert (frequencies(logits, Sampling()) - expected).abs().max() < 2e-4


@pytest.mark.parametrize("size", [255, 256, 257, 3000])
def test_the_draw_is_that_of_one_long_cumulative_sum_and_never_what_cannot_be(size):
    generator = torch.Generator().manual_seed(size)
    logits = 3 * torch.randn(512, size, generator=generator)
    logits[:, size // 3 : -2] = -torch.inf  # whole blocks without weight
    uniform = torch.rand(512, generator=generator, dtype=torch.double)
    uniform[:2] = torch.tensor([0.0, 1.0])  # 1 is what rounding may make of a number below it
    cumulative = logits.softmax(-1).double().cumsum(-1)
    plain = (cumulative <= uniform[:, None] * cumulative[:, -1:] * (1 - 1e-12)).sum(-1)
    drawn = draw(logits, uniform, Sampling())
    assert torch.equal(drawn, plain)
    assert logits.gather(1, drawn[:, None]).isfinite().all()


def test_temperature_scales_logits():
    logits = torch.randn(1, 40, generator=torch.Generator().manual_seed(1))
    expected = (logits[0].double() / 0.5).softmax(-1)
    assert (frequencies(logits, Sampling(temperature=0.5)) - expected).abs().max() < 2e-4


@pytest.mark.parametrize("size", [40, 2000, 6000])
@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.99])
def test_nucleus_is_the_smallest_set_that_reaches_top_p(size, top_p):
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(2)) * (2 if size == 40 else 0.2)
    probs, order = logits[0].double().softmax(-1).sort(descending=True)
    count = int((probs.cumsum(0) - probs < top_p).sum())
    share = probs[:count] / probs[:count].sum()
    draws = 20_000 if size == 40 else 500
    uniform = (torch.arange(draws, dtype=torch.double) + 0.5) / draws
    rank = order.argsort()[draw(logits.expand(draws, -1), uniform, Sampling(top_p=top_p))]
    assert rank.max() < count
    # each number falls into the share of the token that it draws, the likeliest first
    until = share.cumsum(0)
    assert (uniform - until[rank]).max() < 1e-6 and ((until - share)[rank] - uniform).max() < 1e-6
    if size == 40:
        expected = torch.zeros(size, dtype=torch.double)
        expected[order[:count]] = share
        assert (frequencies(logits, Sampling(top_p=top_p)) - expected).abs().max() < 5e-4


def test_zero_temperature_is_greedy():
    logits = torch.randn(5, 30)
    assert torch.equal(draw(logits, torch.rand(5), Sampling(temperature=0)), logits.argmax(-1))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=5), st.integers(1, 6))
def test_a_row_of_uniforms_depends_on_its_seed_alone(seeds, steps):
    whole = uniforms(seeds, steps)
    for i, seed in enumerate(seeds):
        assert np.array_equal(whole[i], uniforms([seed], steps)[0])


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_no_uniform_points_outside_the_vocabulary(u):
    logits = torch.tensor([[0.0, -1e9, 3.0]])
    assert int(draw(logits, torch.tensor([u], dtype=torch.double), Sampling())) in (0, 2)


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0},
        {"top_p": 1.5},
        {"max_new_tokens": 0},
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(RecipeError, match="impossible sampling"):
        Sampling(**bad)
