"""On-policy distillation: the dense and the sampled form, speech and text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rba.alignment.divergence import Divergence
from rba.alignment.objectives.objective import TYPED, Batch, load_objective
from rba.alignment.objectives.opd import sampled_loss
from rba.alignment.objectives.settings import OpdSettings

from ..conftest import SMALL, own, sample, task

TASK = replace(task([sample(v, "no") for v in range(2)], voices=2), typed=(sample(9, "eh"),))


def test_own_answers_are_asked_under_what_they_answer():
    asked = load_objective("opd", SMALL).requests(TASK)
    assert [(r.voice, bytes(r.ids)) for r in asked] == [(0, b"no"), (1, b"no"), (TYPED, b"eh")]
    assert {r.divergence for r in asked} == {Divergence(1.0)}
    speech_only = load_objective("opd", replace(SMALL, opd=OpdSettings(text_weight=0.0)))
    assert not speech_only.needs_typed
    assert [r.voice for r in speech_only.requests(TASK)] == [0, 1]
    sharp = load_objective("opd", replace(SMALL, opd=OpdSettings(teacher_temperature=0.5)))
    spoken = Divergence(1.0, teacher_temperature=0.5)
    assert [r.divergence for r in sharp.requests(TASK)] == [spoken, spoken, Divergence(1.0)]


def test_speech_and_text_share_the_loss():
    rows = [
        own(0, [-1.0, -1.0], divergence_R=[1.0, 3.0]),
        own(1, [-1.0], divergence_R=[4.0]),
        own(0, [-1.0], voice=TYPED, divergence_R=[0.5]),
    ]
    terms = load_objective("opd", SMALL).terms(Batch([TASK], [rows]))
    assert float(terms.losses["speech"]) == pytest.approx(0.8 * 3.0)
    assert float(terms.losses["text"]) == pytest.approx(0.2 * 0.5)


def test_the_sampled_form_pushes_tokens_towards_the_teacher():
    row = own(0, [-1.0, -2.0], logp_teacher_R=[-0.5, -3.0])
    loss = sampled_loss(row, sample(0, "a", None), 0.2)
    assert float(loss.detach()) == pytest.approx(-(0.5 - 1.0) / 2)
    (slope,) = torch.autograd.grad(loss, row.logp_R)
    assert slope.tolist() == pytest.approx([-0.25, 0.5])  # more of what the teacher likes better, less of the rest


def test_the_sampled_gradient_is_the_dense_one_in_expectation():
    """Over all tokens of a small vocabulary, weighted by the policy."""
    torch.manual_seed(0)
    logits, teacher = torch.randn(5, dtype=torch.float64, requires_grad=True), torch.randn(5).double().log_softmax(-1)
    logp = logits.log_softmax(-1)
    (dense,) = torch.autograd.grad((logp.exp() * (logp - teacher)).sum(), logits, retain_graph=True)
    mean = torch.zeros(5, dtype=torch.float64)
    for token in range(5):
        row = replace(own(0, [0.0]), logp_R=logp[token : token + 1], logp_teacher_R=teacher[token : token + 1])
        (slope,) = torch.autograd.grad(sampled_loss(row, sample(0, "a", None), 0.2), logits, retain_graph=True)
        mean += float(logp[token].detach().exp()) * slope
    torch.testing.assert_close(mean, dense, atol=1e-9, rtol=1e-6)


def test_the_sampled_form_asks_for_the_teachers_log_probs_only():
    asked = load_objective("opd", replace(SMALL, opd=OpdSettings(form="sampled"))).requests(TASK)
    assert all(r.teacher and r.divergence is None for r in asked)
