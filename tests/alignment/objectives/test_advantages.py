"""Advantages and the clipped surrogate."""

from __future__ import annotations

from statistics import fmean, stdev

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rba.alignment.objectives.advantages import group_advantages, leave_one_out
from rba.alignment.objectives.surrogate import clipped_surrogate, reduce, reference_kl

rewards = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=8)


def test_by_hand():
    assert group_advantages([1.0, 3.0, 5.0], "aab", "none") == [-1.0, 1.0, 0.0]
    found = group_advantages([1.0, 3.0, 5.0], "aaa", "group")
    assert found == pytest.approx([-2 / 2.0001, 0, 2 / 2.0001])
    assert leave_one_out([1.0, 3.0, 5.0], "aaa") == [-3.0, 0.0, 3.0]


def test_the_spread_of_the_batch_may_divide():
    batch = [1.0, 3.0, 10.0, 20.0]
    assert group_advantages([1.0, 3.0], "aa", "batch", batch) == pytest.approx(
        [-1 / (stdev(batch) + 1e-4), 1 / (stdev(batch) + 1e-4)]
    )


@given(rewards, st.sampled_from(["group", "batch", "none"]))
def test_advantages_of_a_group_sum_to_zero_and_keep_its_order(values: list[float], scale):
    for way in (group_advantages(values, "a" * len(values), scale), leave_one_out(values, "a" * len(values))):
        there = list(zip(values, way))
        assert sum(a for _, a in there) == pytest.approx(0, abs=1e-6)
        assert all((v > w) == (a > b) for v, a in there for w, b in there if abs(v - w) > 0 or a == b)


def test_equal_rewards_teach_nothing():
    assert group_advantages([0.5] * 4, "aaaa", "group") == [0.0] * 4
    assert fmean(leave_one_out([0.5], "a")) == 0.0


def test_the_clip_ends_the_gradient_only_where_the_step_has_been_taken():
    ratio = torch.tensor([0.5, 0.9, 1.1, 1.5]).log().requires_grad_()
    for advantage, live in ((1.0, [True, True, True, False]), (-1.0, [False, True, True, True])):
        (slope,) = torch.autograd.grad(clipped_surrogate(ratio, advantage, 0.2, 0.2).sum(), ratio)
        assert (slope != 0).tolist() == live
        assert ((slope < 0) | (slope == 0)).all() == (advantage > 0)
    higher = clipped_surrogate(ratio, 1.0, 0.2, 0.6)
    assert float(higher[-1].detach()) == pytest.approx(-1.5)


def test_three_means():
    rows = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([6.0])]
    assert float(reduce(rows, "grpo", 2, 4, 8)) == pytest.approx((2 + 6) / 2)
    assert float(reduce(rows, "dapo", 2, 4, 8)) == pytest.approx(12 / 4)
    assert float(reduce(rows, "dr_grpo", 2, 4, 8)) == pytest.approx(12 / 16)


def test_the_kl_estimate_is_unbiased_under_the_policys_own_tokens():
    policy, other = torch.tensor([0.7, 0.2, 0.1]).log(), torch.tensor([0.3, 0.3, 0.4]).log()
    assert float((policy.exp() * reference_kl(policy, other)).sum()) == pytest.approx(
        float((policy.exp() * (policy - other)).sum()), rel=1e-5
    )


@pytest.mark.parametrize("advantage", [1.0, -1.0, 0.0])
def test_a_ratio_that_no_number_holds_is_clipped_like_any_other(advantage: float):
    log_ratio = torch.tensor([100.0, 0.0], requires_grad=True)
    loss = clipped_surrogate(log_ratio, advantage, 0.2, 0.2)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert float(loss[0].detach()) == pytest.approx(-1.2) or advantage <= 0
    assert log_ratio.grad.tolist() == [0, -advantage]
