"""DPO within one voice."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from rba.alignment.objectives.objective import Batch, load_objective

from ..conftest import SMALL, sample, scored, task

SETTINGS = replace(SMALL, answers=2)
TWO = task([sample(0, "a", 0.1), sample(0, "b", 0.9), sample(1, "c", 0.5), sample(1, "d", 0.5)], voices=2)


def test_a_pair_hears_one_voice_and_a_tied_voice_has_none():
    asked = load_objective("dpo", SETTINGS).requests(TWO)
    assert [(r.voice, bytes(r.ids), r.role) for r in asked] == [(0, b"b", "chosen"), (0, b"a", "rejected")]


def test_the_loss_is_that_of_the_log_ratios_and_a_voice_without_a_pair_counts_as_zero():
    rows = [scored(0, "chosen", [-3.0, -1.0], [-3.0, -3.0]), scored(0, "rejected", [-2.0], [-1.0])]
    terms = load_objective("dpo", SETTINGS).terms(Batch([TWO], [rows]))
    assert float(terms.losses["preference"].detach()) == pytest.approx(math.log1p(math.exp(-0.1 * 3)) / 2)
    assert list(terms.metrics["pairs/dropped"]) == [0.5]
    terms.total.backward()
    assert (rows[0].logp_R.grad < 0).all()
    assert (rows[1].logp_R.grad > 0).all()


def test_policy_and_reference_alike_lose_ln_2():
    rows = [scored(0, "chosen", [-3.0], [-3.0]), scored(0, "rejected", [-2.0], [-2.0])]
    one = task([sample(0, "a", 0.1), sample(0, "b", 0.9)], voices=1)
    assert float(load_objective("dpo", SETTINGS).terms(Batch([one], [rows])).total.detach()) == pytest.approx(
        math.log(2)
    )
    assert torch.equal(load_objective("dpo", SETTINGS).terms(Batch([one], [[]])).total, torch.zeros(()))
