"""RLOO: answers as single actions, compared with the others."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rba.alignment.objectives.objective import Batch, load_objective
from rba.alignment.objectives.settings import RlooSettings

from ..conftest import SMALL, own, sample, task

TASK = task([sample(0, "ab", 0.0), sample(1, "cd", 1.0), sample(2, "ef", None)], voices=3)


def test_the_ratio_is_the_answers_and_the_baseline_the_others():
    drawn = task([replace(s, old=(-1.0, -1.0)) for s in TASK.samples], voices=3)
    made = [own(0, [-1.0, -1.0]), own(1, [-0.95, -0.95])]
    terms = load_objective("rloo", replace(SMALL, rloo=RlooSettings(kl=0.0))).terms(Batch([drawn], [made]))
    assert float(terms.total.detach()) == pytest.approx((1.0 - math.exp(0.1)) / 2)
    terms.total.backward()
    assert made[0].logp_R.grad.tolist() == pytest.approx([0.5, 0.5])


def test_the_log_ratio_to_the_reference_is_taken_off_the_reward():
    made = [own(0, [-1.0, -1.0], logp_ref_R=[-2.0, -2.0]), own(1, [-1.0, -1.0], logp_ref_R=[-1.0, -1.0])]
    terms = load_objective("rloo", replace(SMALL, rloo=RlooSettings(kl=0.5))).terms(Batch([TASK], [made]))
    terms.total.backward()  # worth -1 and 1
    assert made[0].logp_R.grad.tolist() == pytest.approx([1.0, 1.0])
    assert made[1].logp_R.grad.tolist() == pytest.approx([-1.0, -1.0])
