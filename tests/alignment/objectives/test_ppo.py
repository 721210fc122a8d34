"""PPO: advantages from values, and a value head that learns them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.alignment.objectives.objective import Batch, load_objective
from rba.alignment.objectives.settings import PpoSettings
from rba.alignment.objectives.value import ValueHead, explained_variance, gae

from ..conftest import SMALL, own, sample, task

CPU = torch.device("cpu")
quarters = st.integers(0, 4).map(lambda n: n / 4)


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=6), quarters, quarters)
def test_gae_equals_its_definition(rewards: list[int], discount: float, trace: float):
    r = torch.tensor(rewards, dtype=torch.float64)
    v = torch.linspace(-1, 1, len(r), dtype=torch.float64)
    errors = r + discount * torch.cat([v[1:], v.new_zeros(1)]) - v
    plain = [sum((discount * trace) ** k * errors[t + k] for k in range(len(r) - t)) for t in range(len(r))]
    torch.testing.assert_close(gae(r, v, discount, trace), torch.stack(plain))


def test_with_trace_and_discount_1_an_advantage_is_what_is_still_to_come_less_the_value():
    found = gae(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 0.5, 0.5]), 1.0, 1.0)
    assert found.tolist() == pytest.approx([2.5, 2.5, 1.5])


def test_explained_variance():
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == 1
    assert explained_variance(torch.zeros(3), returns) == 0
    assert explained_variance(torch.zeros(1), torch.ones(1)) == 0


def test_values_learn_the_reward_and_the_policy_is_not_moved_by_them():
    objective = load_objective("ppo", replace(SMALL, ppo=PpoSettings(kl=0.0, scale="none")))
    parameters = objective.own_parameters(4, CPU)
    assert set(parameters) == {"out.weight", "out.bias"}
    pattern = torch.tensor([1.0, -1.0, 1.0, -1.0]).expand(3, 4)
    states = torch.stack([pattern, -pattern]).requires_grad_()
    asked = task([sample(0, "abc", 1.0), sample(1, "def", -1.0)], voices=2)
    optimiser = torch.optim.Adam(parameters.values(), 0.05)
    losses = []
    for _ in range(60):
        made = [own(i, [-1.0, -1.0, -1.0], states_RD=states[i]) for i in range(2)]
        terms = objective.terms(Batch([asked], [made]))
        optimiser.zero_grad()
        terms.total.backward()
        optimiser.step()
        losses.append(float(terms.losses["value"].detach()))
    assert losses[-1] < 0.1 * losses[0]
    assert states.grad is None
    assert terms.metrics["value/explained_variance"][0] > 0.8


def test_untrained_values_are_zero_and_the_good_answer_is_pushed_up():
    assert ValueHead(4)(torch.randn(3, 4)).tolist() == [0, 0, 0]
    objective = load_objective("ppo", replace(SMALL, ppo=PpoSettings(kl=0.0)))
    objective.own_parameters(4, CPU)
    asked = task([sample(0, "ab", 2.0), sample(1, "cd", 1.0)], voices=2)
    made = [own(i, [-1.0, -1.0], states_RD=torch.zeros(2, 4)) for i in range(2)]
    objective.terms(Batch([asked], [made])).total.backward()
    assert (made[0].logp_R.grad < 0).all()
    assert (made[1].logp_R.grad > 0).all()


def test_the_reference_takes_its_part_of_every_token():
    objective = load_objective("ppo", replace(SMALL, ppo=PpoSettings(kl=0.5, scale="none")))
    row = own(0, [-1.0, -1.0], logp_ref_R=[-2.0, -1.0])
    assert objective._rewards(row, 3.0).tolist() == pytest.approx([-0.5, 3.0])
