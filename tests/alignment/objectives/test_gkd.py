"""The mix of the teacher's answers and own ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rba.alignment.divergence import Divergence
from rba.alignment.objectives.objective import Batch, load_objective
from rba.alignment.objectives.settings import GkdSettings

from ..conftest import SMALL, own, sample, task

DRAWN = [sample(v, "no") for v in range(4)]


def roles(share: float, seed: int) -> set[str]:
    objective = load_objective("gkd", replace(SMALL, gkd=GkdSettings(own=share)))
    return {r.role for r in objective.requests(replace(task(DRAWN), seed=seed))}


def test_the_mix_is_drawn_for_each_instruction_and_update():
    assert {frozenset(roles(0.0, s)) for s in range(20)} == {frozenset({"reference"})}
    assert {frozenset(roles(1.0, s)) for s in range(20)} == {frozenset({"own"})}
    share = sum(roles(0.3, s) == {"own"} for s in range(400)) / 400
    assert share == pytest.approx(0.3, abs=0.07)
    assert roles(0.5, 3) == roles(0.5, 3)


def test_beta_is_handed_on_and_the_mean_is_over_tokens_then_answers():
    objective = load_objective("gkd", replace(SMALL, gkd=GkdSettings(beta=0.3, own=1.0)))
    assert {r.divergence for r in objective.requests(task(DRAWN))} == {Divergence(0.3)}
    sharp = load_objective("gkd", replace(SMALL, gkd=GkdSettings(own=1.0, temperature=2.0, teacher_temperature=0.5)))
    assert {r.divergence for r in sharp.requests(task(DRAWN))} == {Divergence(0.5, 2.0, 0.5)}
    rows = [own(0, [-1.0, -1.0], divergence_R=[1.0, 3.0]), own(1, [-1.0], divergence_R=[5.0])]
    terms = objective.terms(Batch([task(DRAWN)], [rows]))
    assert float(terms.losses["gkd"]) == pytest.approx((2.0 + 5.0) / 2)
    assert list(terms.metrics["gkd/own"]) == [1.0]


def test_without_own_answers_none_are_drawn():
    assert not load_objective("gkd", replace(SMALL, gkd=GkdSettings(own=0.0))).needs_samples
