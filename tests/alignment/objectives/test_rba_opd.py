"""RBA-OPD: a preference across voices against the reading teacher, and its dense signal."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from rba.alignment.divergence import Divergence
from rba.alignment.objectives.objective import Batch, load_objective
from rba.alignment.objectives.settings import RbaOpdSettings

from ..conftest import SMALL, own, sample, task

TASK = task([sample(0, "no", 0.5), sample(1, "la", 0.1), sample(2, "an apple", 0.9)], voices=3)


def objective(**weights: float):
    return load_objective("rba-opd", replace(SMALL, rba_opd=RbaOpdSettings(**weights)))


def test_all_answers_are_dense_and_the_pairs_ask_for_the_teachers_log_probs():
    asked = objective().requests(TASK)
    assert [(r.voice, r.divergence, r.teacher) for r in asked] == [
        (0, Divergence(1.0), False),
        (1, Divergence(1.0), True),
        (2, Divergence(1.0), True),
    ]


def test_the_dense_signal_comes_from_the_teacher_at_its_temperature():
    sharp = Divergence(1.0, teacher_temperature=0.5)
    assert {r.divergence for r in objective(teacher_temperature=0.5).requests(TASK)} == {sharp}


def test_the_dense_signal_is_the_reverse_kl_or_a_jensen_shannon_divergence():
    assert {r.divergence for r in objective(dense_beta=0.5).requests(TASK)} == {Divergence(0.5)}


def test_each_weight_switches_its_term():
    assert [(r.voice, r.divergence) for r in objective(dense=0.0).requests(TASK)] == [(1, None), (2, None)]
    dense = objective(preference=0.0)
    assert not dense.needs_rewards
    assert [r.teacher for r in dense.requests(TASK)] == [False] * 3
    anchored = objective(preference=0.0, dense=0.0, ce=1.0)
    assert not anchored.needs_samples
    assert {r.role for r in anchored.requests(task(voices=3))} == {"reference"}


def test_the_terms_by_hand():
    rows = [
        own(0, [-1.0], divergence_R=[3.0]),
        own(1, [-2.0, -2.0], divergence_R=[1.0, 1.0], logp_teacher_R=[-1.0, -1.0]),
        own(2, [-1.0, -4.0], divergence_R=[2.0, 2.0], logp_teacher_R=[-2.0, -4.0]),
    ]
    terms = objective(preference=2.0, dense=0.5).terms(Batch([TASK], [rows]))
    assert float(terms.losses["preference"].detach()) == pytest.approx(2 * math.log1p(math.exp(-0.1 * (1 + 2))))
    assert float(terms.losses["dense"].detach()) == pytest.approx(0.5 * (3 + 2 + 4) / 3)
    terms.losses["preference"].backward()
    assert (rows[2].logp_R.grad < 0).all()
    assert (rows[1].logp_R.grad > 0).all()


def test_at_the_optimum_margins_are_reward_gaps():
    """Where pi = T exp(r / beta) / Z under every voice, the normaliser cancels between answers to two voices."""
    beta, rewards = 0.1, torch.tensor([0.02, -0.05, 0.03], dtype=torch.float64)
    teacher = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log()
    best = (teacher + rewards / beta).log_softmax(-1)
    rows = [own(i, [float(best[i])], logp_teacher_R=[float(teacher[i])]) for i in range(2)]
    pair = task([sample(0, "yes", float(rewards[0])), sample(1, "no", float(rewards[1]))], voices=2)
    terms = objective(dense=0.0).terms(Batch([pair], [rows]))
    assert terms.metrics["rewards/margins"] == [pytest.approx(float(rewards[0] - rewards[1]), abs=1e-6)]


def test_a_tied_group_keeps_its_dense_signal():
    tied = task([sample(0, "no", 0.5), sample(1, "la", 0.5)], voices=2)
    rows = [own(0, [-1.0], divergence_R=[3.0]), own(1, [-1.0], divergence_R=[1.0])]
    terms = objective().terms(Batch([tied], [rows]))
    assert float(terms.losses["preference"]) == 0
    assert float(terms.losses["dense"].detach()) == pytest.approx(0.2 * 2)


def test_all_pairs_share_one_mean():
    settings = replace(SMALL, pairing="all", rba_opd=RbaOpdSettings(dense=0.0))
    found = load_objective("rba-opd", settings)
    assert [r.sample for r in found.requests(TASK)] == [0, 1, 2]
    rows = [own(i, [-1.0], logp_teacher_R=[-1.0]) for i in range(3)]
    terms = found.terms(Batch([TASK], [rows]))
    assert float(terms.losses["preference"].detach()) == pytest.approx(math.log(2))
    assert len(terms.metrics["rewards/margins"]) == 3


def test_the_order_of_the_voices_changes_nothing():
    rows = [own(i, [-1.0 - i], divergence_R=[1.0 + i], logp_teacher_R=[-2.0 + i]) for i in range(3)]
    plain = objective().terms(Batch([TASK], [rows])).total
    turned = replace(TASK, utterances=TASK.utterances[::-1], samples=TASK.samples[::-1])
    swapped = [
        replace(s, request=replace(s.request, voice=2 - s.request.voice, sample=2 - i)) for i, s in enumerate(rows)
    ]
    assert float(objective().terms(Batch([turned], [swapped[::-1]])).total.detach()) == pytest.approx(
        float(plain.detach())
    )
