"""RBA-Group: Eqs. 2-5, each answer under its own voice."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from rba.alignment.objectives.objective import Batch, load_objective
from rba.lm.scoring import token_logprobs

from ..conftest import SMALL, Bench, sample, scored, task

RANKED = [sample(0, "no", 0.5), sample(1, "la", 0.1), sample(2, "an apple", 0.9), sample(3, "eh", 0.3)]


def test_the_best_answer_is_asked_under_its_voice_and_the_worst_under_its_own():
    asked = load_objective("rba-group", SMALL).requests(task(RANKED))
    assert [(r.voice, bytes(r.ids)) for r in asked if r.role == "chosen"] == [(2, b"an apple")]
    assert [(r.voice, bytes(r.ids)) for r in asked if r.role == "rejected"] == [(1, b"la")]
    assert [r.voice for r in asked if r.role == "reference"] == [0, 1, 2, 3]


def test_the_trainer_scores_each_answer_under_the_speech_it_answers(bench: Bench):
    """x(s+) for the positive and x(s-) for the negative: with the voices exchanged the log-probs are others."""
    trainer = bench.trainer("rba-group", replace(SMALL, steps=1, groups_per_step=1))
    (group,) = trainer.plan[0]
    samples = bench.samples()
    worst, best = (samples[group.utterances[v]] for v in (0, 1))  # rewards 0 and 1
    x_worst, x_best = bench.bank.initial([worst.utterance, best.utterance])
    with torch.no_grad():
        own = token_logprobs(bench.speechlm.lm.model, [x_best, x_worst], [list(best.ids), list(worst.ids)])
        exchanged = token_logprobs(bench.speechlm.lm.model, [x_worst, x_best], [list(best.ids), list(worst.ids)])
    trainer.run()
    assert bench.records[0]["logps/chosen"] == pytest.approx(float(own[0].sum()), abs=1e-4)
    assert bench.records[0]["logps/rejected"] == pytest.approx(float(own[1].sum()), abs=1e-4)
    assert abs(float(own[0].sum() - exchanged[0].sum())) > 1e-2
    assert abs(float(own[1].sum() - exchanged[1].sum())) > 1e-2


def test_the_loss_is_the_preference_plus_lambda_cross_entropy():
    rows = [scored(v, "reference", [-1.0 - v, -1.0]) for v in range(4)]
    rows += [scored(2, "chosen", [-3.0, -4.0]), scored(1, "rejected", [-2.0])]
    terms = load_objective("rba-group", SMALL).terms(Batch([task(RANKED)], [rows]))
    assert float(terms.losses["preference"].detach()) == pytest.approx(math.log1p(math.exp(0.1 * 5)))
    assert float(terms.losses["ce"].detach()) == pytest.approx(0.2 * 3.5)


@pytest.mark.parametrize("rewards", [(0.5, 0.5), (0.5, 0.5 + 1e-9), (0.5, None), (None, None)])
def test_a_group_without_a_pair_keeps_its_cross_entropy(rewards: tuple[float | None, float | None]):
    tied = task([sample(0, "no", rewards[0]), sample(1, "la", rewards[1])], voices=2)
    objective = load_objective("rba-group", SMALL)
    assert {r.role for r in objective.requests(tied)} == {"reference"}
    terms = objective.terms(Batch([tied], [[scored(v, "reference", [-2.0]) for v in range(2)]]))
    assert float(terms.losses["preference"]) == 0
    assert float(terms.losses["ce"].detach()) == pytest.approx(0.4)
    assert list(terms.metrics["pairs/dropped"]) == [1]


def test_equal_texts_in_two_voices_make_no_pair():
    equal = task([sample(0, "no", 0.1), sample(1, "no", 0.9)], voices=2)
    assert {r.role for r in load_objective("rba-group", SMALL).requests(equal)} == {"reference"}


def gradient(bench: Bench, rejected_voice: int) -> torch.Tensor:
    """The gradient of L_G alone where voice 0 and `rejected_voice` give the same answer."""
    settings = replace(SMALL, lam=0.0)
    trainer = bench.trainer("rba-group", settings)
    group = bench.groups[0]
    prompts = bench.bank.initial(group.utterances)
    rows = token_logprobs(bench.speechlm.lm.model, [prompts[0], prompts[rejected_voice]], [list(group.reference)] * 2)
    pair = [
        replace(scored(0, "chosen", [0.0]), logp_R=rows[0]),
        replace(scored(1, "rejected", [0.0]), logp_R=rows[1]),
    ]
    trainer.objective.terms(Batch([task(RANKED)], [pair])).total.backward()
    return torch.cat([p.grad.flatten() for p in trainer.parameters.values() if p.grad is not None])


def test_the_same_answer_in_the_same_voice_has_no_gradient_but_in_two_voices_it_has(benches):
    assert gradient(benches(1, 3), rejected_voice=0).abs().max() < 1e-6
    assert gradient(benches(1, 3), rejected_voice=1).abs().max() > 1e-4


def test_without_lambda_the_teachers_answer_is_not_even_scored():
    asked = load_objective("rba-group", replace(SMALL, lam=0.0)).requests(task(RANKED))
    assert [r.role for r in asked] == ["chosen", "rejected"]


def test_policy_and_reference_alike_lose_ln_2(bench: Bench):
    bench.trainer("rba-group", replace(SMALL, steps=1, use_reference=True)).run()
    assert bench.records[0]["loss/preference"] == pytest.approx(math.log(2), abs=1e-6)


def test_the_order_of_the_voices_changes_nothing(benches):
    def first_loss(order: list[int]) -> float:
        bench: Bench = benches(2, 3)
        trainer = bench.trainer("rba-group", replace(SMALL, steps=1))
        turned = [[replace(g, utterances=tuple(g.utterances[i] for i in order)) for g in step] for step in trainer.plan]
        trainer.plan = trainer.rollouts.plan = turned
        trainer.run()
        return bench.records[0]["loss"]

    assert first_loss([0, 1, 2]) == pytest.approx(first_loss([2, 0, 1]), abs=1e-5)


def test_with_all_pairings_no_answer_is_thrown_away():
    objective = load_objective("rba-group", replace(SMALL, lam=0.0, pairing="all"))
    asked = objective.requests(task(RANKED))
    assert [(r.voice, r.sample, r.role) for r in asked] == [(v, v, "own") for v in range(4)]
    values = [-1.0, -2.0, -4.0, -3.0]
    rows = [replace(scored(v, "own", [x]), request=asked[v]) for v, x in enumerate(values)]
    terms = objective.terms(Batch([task(RANKED)], [rows]))
    order = [2, 0, 3, 1]  # by reward
    margins = [values[i] - values[j] for n, i in enumerate(order) for j in order[n + 1 :]]
    mean = sum(math.log1p(math.exp(-0.1 * m)) for m in margins) / 6
    assert float(terms.losses["preference"].detach()) == pytest.approx(mean)
