"""Validation picks the checkpoint."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from rba.alignment.metrics import loss_metrics, reference_drift, sample_metrics
from rba.alignment.objectives.objective import Batch, Terms
from rba.alignment.validation import Best, Validator
from rba.lm.scoring import token_logprobs

from .conftest import SMALL, Bench, own, sample, scored, task, variety


def test_the_likelihood_is_a_mean_over_instructions_of_nats_a_token(bench: Bench):
    found = Validator(bench.speechlm, bench.bank, bench.groups, SMALL, None)()
    prompts = bench.bank.initial([g.utterances[i] for i, g in enumerate(bench.groups)])
    with torch.no_grad():
        rows = token_logprobs(bench.speechlm.lm.model, prompts, [list(g.reference) for g in bench.groups])
    assert found["validation/logp"] == pytest.approx(sum(float(r.mean()) for r in rows) / 2, abs=1e-5)
    assert found["validation/score"] == found["validation/logp"]


def test_by_reward_the_score_is_that_of_greedy_answers(bench: Bench):
    validator = Validator(bench.speechlm, bench.bank, bench.groups, SMALL, variety)
    found = validator()
    assert found["validation/score"] == found["validation/reward"] != found["validation/logp"]
    assert found == validator()


def test_a_reward_is_told_which_utterance_each_answer_is_to(bench: Bench):
    told: dict[str, list[str]] = {}

    def reward(prompts: Any, completions: Any, ids: Any, **columns: Any) -> list[float]:
        told.update(columns)
        return [1.0] * len(completions)

    validator = Validator(bench.speechlm, bench.bank, bench.groups, SMALL, reward)
    validator()
    assert told["utterance"] == validator.utterances
    assert told["speaker"] == ["v0", "v1"]


def test_the_best_is_kept_and_what_came_since_is_counted():
    best = Best()
    assert [best.update(score, step) for step, score in enumerate([0.1, 0.3, 0.3, math.nan, 0.2], 1)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert (best.score, best.step, best.since) == (0.3, 2, 3)


def test_losses_of_micro_batches_add_up_and_observations_are_averaged():
    one = Terms({"ce": torch.tensor(2.0)}, {"ce": [1.0, 3.0]})
    other = Terms({"ce": torch.tensor(4.0)}, {"ce": [5.0]})
    assert loss_metrics([(one, 2 / 3), (other, 1 / 3)]) == pytest.approx({"loss": 8 / 3, "loss/ce": 8 / 3, "ce": 3.0})


def test_a_reward_of_the_objectives_own_is_summed_up_over_the_update():
    parts = [Terms({}, rewards={"seen": rows}) for rows in ([(0.2, 1)], [(0.4, 2), (0.6, 3)], [])]
    assert loss_metrics([(part, 1 / 3) for part in parts]) == {
        "loss": 0.0,
        "rewards/seen/mean": pytest.approx(0.4),
        "rewards/seen/std": pytest.approx(0.2 * (2 / 3) ** 0.5),
        "rewards/seen/length_correlation": pytest.approx(1),
    }


def test_own_answers_alone_say_how_far_the_policy_is_from_its_reference():
    rows = [own(0, [-1.0, -2.0], logp_ref_R=[-1.0, -3.0]), own(1, [-1.0], logp_ref_R=[-1.0]), own(2, [-9.0])]
    teachers = scored(0, "reference", [-1.0], [-9.0])
    found = reference_drift(Batch([task()], [[*rows, teachers]]))
    assert found == {"kl/samples": [pytest.approx((math.exp(-1) - 1 + 1) / 2), 0]}
    assert reference_drift(Batch([task()], [[own(0, [-1.0]), teachers]])) == {}


def test_rewards_ties_lengths_and_deafness_are_logged():
    rows = [task([sample(0, "no", 0.0), sample(1, "a long one", 1.0)])]
    rows.append(task([sample(0, "Sorry, could you repeat that?", 0.5), sample(1, "la", 0.5)]))
    found = sample_metrics(rows)
    assert found["reward"] == 0.5
    assert found["frac_reward_zero_std"] == 0.5
    assert found["completions/deaf"] == 0.25
    assert found["completions/clipped_ratio"] == 0
    assert -1 <= found["reward_length_correlation"] <= 1


def test_each_part_of_a_reward_is_logged():
    parts = [("recall", 0.5), ("length", None)], [("recall", 1.0), ("length", 0.2)]
    rows = [replace(sample(v, text, 1.0), parts=tuple(p)) for v, (text, p) in enumerate(zip(["no", "long"], parts))]
    found = {k: v for k, v in sample_metrics([task(rows)]).items() if k.startswith("rewards/")}
    assert found == {
        "rewards/recall/mean": 0.75,
        "rewards/recall/std": 0.25,
        "rewards/recall/length_correlation": pytest.approx(1),
        "rewards/length/mean": 0.2,
        "rewards/length/std": 0.0,
    }


def test_a_missing_reward_is_counted_not_averaged():
    found = sample_metrics([task([sample(0, "no", None), sample(1, "la", 1.0)])])
    assert (found["reward"], found["reward_missing"]) == (1.0, 0.5)


def test_a_reward_that_no_answer_has_is_missing_everywhere_and_none_is_missing_where_none_is_asked():
    rows = [task([sample(0, "no"), sample(1, "la")])]
    found = sample_metrics(rows)
    assert found["reward_missing"] == 1 and "reward" not in found
    assert "reward_missing" not in sample_metrics(rows, rewarded=False)
