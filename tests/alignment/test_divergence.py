"""Divergences from the teacher: values, bounds, and gradients through the head in chunks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.alignment.divergence import Divergence, divergences, generalised_jsd
from rba.lm.likelihood import CHUNK
from rba.lm.vocabulary import Classes

MANY = CHUNK["cpu"] + 5

P, Q = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.5, 0.25]]).log()


def test_the_ends_are_the_two_kl_divergences():
    policy, teacher = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()
    forward = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    reverse = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert float(generalised_jsd(policy, teacher, Divergence(0.0))) == pytest.approx(forward, rel=1e-5)
    assert float(generalised_jsd(policy, teacher, Divergence(1.0))) == pytest.approx(reverse, rel=1e-5)


def test_the_middle_is_symmetric_and_at_most_ln_2():
    assert float(generalised_jsd(P, Q, Divergence(0.5))) == pytest.approx(float(generalised_jsd(Q, P, Divergence(0.5))))
    apart = torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 50.0]])
    assert float(generalised_jsd(*apart, Divergence(0.5))) == pytest.approx(math.log(2), rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("sharp", [0.25, 0.5, 2.0])
def test_a_sharper_teacher_is_the_teacher_raised_to_a_power(beta: float, sharp: float):
    raised = torch.tensor([[0.25, 0.5, 0.25]]) ** (1 / sharp)
    plain = generalised_jsd(P, (raised / raised.sum()).log(), Divergence(beta))
    torch.testing.assert_close(generalised_jsd(P, Q, Divergence(beta, 1.0, sharp)), plain)


@pytest.mark.parametrize("sharp", [0.25, 0.5, 1.0])
def test_the_reverse_kl_to_a_sharper_teacher_weighs_the_entropy_by_its_temperature(sharp: float):
    """t KL(pi || T^(1/t)) = -E[log T] - t H(pi) + a constant: at t = 0 what is learnt is the teacher's first choice."""

    def value(policy: torch.Tensor) -> torch.Tensor:
        return sharp * generalised_jsd(policy.log(), Q, Divergence(1.0, 1.0, sharp))

    def plain(policy: torch.Tensor) -> torch.Tensor:
        return -(policy * Q).sum(-1) + sharp * (policy * policy.log()).sum(-1)

    one, two = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.1, 0.1, 0.8]])
    torch.testing.assert_close(value(one) - value(two), plain(one) - plain(two))


@settings(deadline=None)
@given(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0, 1000))
def test_never_negative_and_zero_where_both_agree(beta: float, temperature: float, seed: int):
    torch.manual_seed(seed)
    logits, other = torch.randn(3, 7, dtype=torch.float32), torch.randn(3, 7)
    kind = Divergence(beta, temperature)
    assert (generalised_jsd(logits, other, kind) > -1e-5).all()
    assert generalised_jsd(logits, logits + 3.0, kind).abs().max() < 1e-5


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("frozen", [True, False])
def test_values_and_gradients_equal_the_plain_way(beta: float, frozen: bool):
    torch.manual_seed(0)
    head, other = torch.nn.Linear(6, 11, bias=False), torch.nn.Linear(5, 13, bias=False).requires_grad_(False)
    head.requires_grad_(not frozen)
    states = torch.randn(MANY, 6, requires_grad=True)
    taught, weights = torch.randn(MANY, 5), torch.randn(MANY)
    kind, found = Divergence(beta, 2.0, 0.5), []
    for way in (
        lambda: divergences(head, states, other, taught, kind),
        lambda: generalised_jsd(head(states), other(taught)[:, :11], kind),
    ):
        states.grad = None
        value = way()
        (value * weights).sum().backward()
        found.append((value.detach(), states.grad))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-5, rtol=1e-4)


def test_no_gradient_is_computed_where_none_is_wanted():
    head = torch.nn.Linear(6, 11, bias=False).requires_grad_(False)
    with torch.no_grad():
        assert not divergences(head, torch.randn(3, 6), head, torch.randn(3, 6), Divergence(1.0)).requires_grad


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_classes_of_the_same_masses_do_not_diverge_however_many_tokens_they_have(beta: float, temperature: float):
    """A temperature that heated tokens would give the class of 40 more mass in the teacher's vocabulary."""
    classes = Classes(torch.tensor([1, 2, 3]), torch.tensor([1, 2] + [3] * 40), 4)
    masses_3 = torch.tensor([0.7, 0.29, 0.01])
    own_NV = masses_3.log()[None] + 5.0
    teacher_NV = torch.cat([masses_3[:2], masses_3[2:].repeat(40) / 40]).log()[None]
    other_NV = torch.tensor([[0.1, 0.2, 0.7]]).log()
    merged_NV = torch.tensor([[0.1, 0.2] + [0.7 / 40] * 40]).log()
    for kind in (Divergence(beta, temperature), Divergence(beta, temperature, 0.5)):
        merged_N = generalised_jsd(own_NV, merged_NV, kind, classes)
        torch.testing.assert_close(merged_N, generalised_jsd(own_NV, other_NV, kind))
    found_N = generalised_jsd(own_NV, teacher_NV, Divergence(beta, temperature), classes)
    torch.testing.assert_close(found_N, torch.zeros(1), atol=1e-6, rtol=0)
