"""RBA-Single: Eqs. 6-8 in both forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from rba.alignment.objectives.objective import Batch, load_objective

from ..conftest import SMALL, sample, scored, task

TEACHER = [[-1.0, -2.0, -0.5], [-2.5, -1.0, -3.0]]
OWN = [[-0.5, -0.25], [-4.0, -5.0, -1.0, -1.0]]


def batch(*order: int, ref: list[float] | None = None) -> Batch:
    """One instruction in two voices (renumbered by `order`), each with the teacher's answer and its own."""
    rows = []
    for place, voice in enumerate(order or (0, 1)):
        rows.append(scored(place, "reference", TEACHER[voice], ref))
        rows.append(scored(place, "rejected", OWN[voice], ref and ref[:1]))
    return Batch([task([sample(0, "no"), sample(1, "la")], voices=2)], [rows])


def test_each_voice_has_the_teachers_answer_and_its_own():
    asked = load_objective("rba-single", SMALL).requests(task([sample(0, "no"), sample(1, "la")], voices=2))
    assert {(r.voice, bytes(r.ids), r.role) for r in asked} == {
        (0, b"yes", "reference"),
        (1, b"yes", "reference"),
        (0, b"no", "rejected"),
        (1, b"la", "rejected"),
    }


def test_the_loss_is_the_mean_over_voices_plus_lambda_cross_entropy():
    terms = load_objective("rba-single", SMALL).terms(batch())
    margins = [sum(t) - sum(o) for t, o in zip(TEACHER, OWN)]
    expected = sum(math.log1p(math.exp(-0.1 * m)) for m in margins) / 2
    assert float(terms.losses["preference"].detach()) == pytest.approx(expected)
    assert float(terms.losses["ce"].detach()) == pytest.approx(0.2 * (3.5 + 6.5) / 2)


def test_reference_free_it_is_cpo():
    """CPO (Xu et al. 2024): -log sigmoid(beta (lp(y_w) - lp(y_l))) - alpha lp(y_w), with alpha = lambda."""
    wins = torch.tensor([sum(t) for t in TEACHER], dtype=torch.float64)
    losses = torch.tensor([sum(o) for o in OWN], dtype=torch.float64)
    cpo = (F.softplus(-0.1 * (wins - losses)) - 0.2 * wins).mean()
    ours = load_objective("rba-single", SMALL).terms(batch()).total
    assert float(ours.detach()) == pytest.approx(float(cpo))


def test_the_order_of_the_voices_changes_nothing():
    objective = load_objective("rba-single", SMALL)
    assert float(objective.terms(batch(0, 1)).total.detach()) == float(objective.terms(batch(1, 0)).total.detach())


def test_the_weight_of_the_cross_entropy_is_the_groups_unless_given():
    assert SMALL.single_weight == 0.2
    assert replace(SMALL, use_reference=True).single_weight == 0.2
    assert replace(SMALL, use_reference=True, lam_single=0.7).single_weight == 0.7
    assert replace(SMALL, lam_single=0.0).single_weight == 0


def test_an_answer_equal_to_the_teachers_makes_no_pair_and_counts_as_zero():
    objective = load_objective("rba-single", SMALL)
    equal = task([sample(0, "yes"), sample(1, "la")], voices=2)
    assert [r.voice for r in objective.requests(equal) if r.role == "rejected"] == [1]
    rows = [row for row in batch().scored[0] if row.request != scored(0, "rejected", OWN[0]).request]
    terms = objective.terms(Batch([equal], [rows]))
    lonely = math.log1p(math.exp(-0.1 * (sum(TEACHER[1]) - sum(OWN[1])))) / 2
    assert float(terms.losses["preference"].detach()) == pytest.approx(lonely)
    assert list(terms.metrics["pairs/dropped"]) == [0.5]


def test_where_all_answers_equal_the_teachers_only_cross_entropy_is_left():
    rows = [scored(v, "reference", TEACHER[v]) for v in range(2)]
    terms = load_objective("rba-single", SMALL).terms(
        Batch([task([sample(0, "yes"), sample(1, "yes")], voices=2)], [rows])
    )
    assert float(terms.losses["preference"]) == 0
    assert terms.total.requires_grad


def test_policy_and_reference_alike_lose_ln_2(bench):
    settings = replace(SMALL, steps=1, use_reference=True, lam_single=0.0)
    bench.trainer("rba-single", settings).run()
    assert bench.records[0]["loss/preference"] == pytest.approx(math.log(2), abs=1e-6)
    assert bench.records[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)
    assert "loss/ce" not in bench.records[0]


def test_several_answers_a_voice_all_make_pairs():
    drawn = [sample(0, "no"), sample(0, "yes"), sample(1, "la"), sample(1, "eh")]
    objective = load_objective("rba-single", SMALL)
    asked = objective.requests(task(drawn, voices=2))
    assert [(r.voice, r.sample) for r in asked if r.role == "rejected"] == [(0, 0), (1, 2), (1, 3)]
    rows = [scored(r.voice, r.role, [-2.0]) for r in asked]
    terms = objective.terms(Batch([task(drawn, voices=2)], [rows]))
    assert float(terms.losses["preference"].detach()) == pytest.approx(0.75 * math.log(2))
    assert list(terms.metrics["pairs/dropped"]) == [0.25]
