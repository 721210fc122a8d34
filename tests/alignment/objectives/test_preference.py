"""The preference loss: the specification's sanity values and identities."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rba.alignment.objectives.preference import delta, margin, observations, preference_loss

from ..conftest import scored

margins = st.floats(-500, 500)
betas = st.floats(0.01, 2)


def loss(value: float, beta: float = 0.1) -> float:
    return float(preference_loss(torch.tensor(value, dtype=torch.float64), beta))


def slope(value: float, beta: float = 0.1) -> float:
    at = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    preference_loss(at, beta).backward()
    return float(at.grad)


def test_equal_policies_lose_ln_2():
    assert loss(0.0) == pytest.approx(0.693147, abs=1e-6)


@pytest.mark.parametrize(("value", "expected"), [(10.0, 0.313262), (-10.0, 1.313262), (0.0, math.log(2))])
def test_the_papers_beta_gives_the_known_values(value: float, expected: float):
    assert loss(value) == pytest.approx(expected, abs=1e-6)


def test_the_gradient_at_no_margin_is_half_of_beta():
    assert slope(0.0) == pytest.approx(-0.05)


@given(margins, betas)
def test_the_gradient_is_minus_beta_sigmoid_of_minus_beta_margin(value: float, beta: float):
    expected = -beta * float(torch.sigmoid(torch.tensor(-beta * value, dtype=torch.float64)))
    assert slope(value, beta) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(margins, betas)
def test_swapping_chosen_and_rejected_adds_beta_margin(value: float, beta: float):
    assert loss(-value, beta) - loss(value, beta) == pytest.approx(beta * value, abs=1e-9)


@given(st.lists(st.floats(-20, 0), min_size=1, max_size=5), st.lists(st.floats(-20, 0), min_size=1, max_size=5))
def test_swapping_the_two_answers_turns_the_margin_round(good: list[float], bad: list[float]):
    one, other = scored(0, "chosen", good), scored(1, "rejected", bad)
    assert float(margin(one, other).detach()) == -float(margin(other, one).detach())


@pytest.mark.parametrize("value", [-1e5, 1e5])
def test_it_is_finite_where_sigmoid_is_not(value: float):
    assert math.isfinite(loss(value))
    assert math.isfinite(slope(value))


def test_log_v_is_a_log_ratio_or_without_reference_the_log_prob():
    lp, lp_ref = torch.tensor(-3.0), torch.tensor(-5.0)
    assert delta(lp, lp_ref) == 2
    assert delta(lp, None) == -3


def test_the_reference_is_subtracted_on_both_sides():
    one, other = scored(0, "chosen", [-1, -2], [-2, -2]), scored(1, "rejected", [-4], [-1])
    assert float(margin(one, other).detach()) == (-3 + 4) - (-4 + 1)


def test_the_log_says_how_much_of_a_pairs_gradient_is_left():
    one, other = scored(0, "chosen", [-1.0]), scored(1, "rejected", [-21.0])
    found = observations(one, other, 0.1)
    assert found["rewards/margins"] == [pytest.approx(2)]
    assert found["pairs/live"] == [pytest.approx(1 / (1 + math.exp(2)))]
    assert found["rewards/accuracies"] == [1]
