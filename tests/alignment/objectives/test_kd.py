"""Distillation on the teacher's answer: forward KL, and the end's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rba.alignment.divergence import Divergence
from rba.alignment.objectives.objective import Batch, load_objective
from rba.alignment.objectives.settings import KdSettings

from ..conftest import SMALL, scored, task


def rows(*divergences: list[float]):
    made = [scored(v, "reference", [-1.0] * len(d)) for v, d in enumerate(divergences)]
    return [replace(s, divergence_R=torch.tensor(d)) for s, d in zip(made, divergences)]


def test_the_teachers_answer_is_asked_under_every_voice_with_the_forward_kl():
    asked = load_objective("kd", SMALL).requests(task(voices=3))
    assert [r.voice for r in asked] == [0, 1, 2]
    assert {r.divergence for r in asked} == {Divergence(0.0, 2.0)}
    assert {r.ids for r in asked} == {tuple(b"yes")}


def test_the_end_counts_in_the_mean_and_once_more_by_its_own_weight():
    settings = replace(SMALL, kd=KdSettings(end_weight=0.5))
    terms = load_objective("kd", settings).terms(Batch([task(voices=2)], [rows([1.0, 2.0, 6.0], [2.0, 2.0, 2.0])]))
    assert float(terms.losses["kd"]) == pytest.approx((3.0 + 2.0) / 2)
    assert float(terms.losses["end"]) == pytest.approx(0.5 * (6.0 + 2.0) / 2)


def test_an_answer_that_was_cut_has_no_end():
    cut = replace(task(voices=1), finished=False)
    terms = load_objective("kd", SMALL).terms(Batch([cut, task(voices=1)], [rows([1.0, 2.0]), rows([1.0, 4.0])]))
    assert float(terms.losses["end"]) == pytest.approx(4.0 / 2)
