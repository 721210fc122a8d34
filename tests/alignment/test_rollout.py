"""Self-samples: one a voice, seeded, fresh as often as asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rba.alignment.groups import plan
from rba.alignment.rollout import Rollouts, round_of
from rba.errors import ModelError
from rba.lm.sampling import Sampling
from rba.models.adapters import adapter_parameters, add_lora
from rba.rewards.weighted import WeightedReward

from .conftest import SMALL, Bench, variety


def rollouts(bench: Bench, folder: Path, old: bool = False, typed: bool = False, **changes: Any) -> Rollouts:
    settings = replace(SMALL, **changes)
    steps = plan(bench.groups, settings.groups_per_step, settings.steps, 7)
    return Rollouts(bench.speechlm, bench.bank, steps, settings, variety, folder, seed=5, typed=typed, old=old)


def move(bench: Bench):
    """Change the policy."""
    with torch.no_grad():
        for parameter in adapter_parameters(bench.speechlm):
            parameter.add_(0.3)


def answers(made: Rollouts, step: int) -> dict[str, tuple[int, ...]]:
    return {s.utterance: s.ids for t in made.tasks(step)[0] for s in t.samples}


def test_every_voice_answers_once_with_a_reward_of_its_text(bench: Bench, tmp_path: Path):
    tasks, fresh = rollouts(bench, tmp_path).tasks(0)
    assert fresh
    for task in tasks:
        assert [s.utterance for s in task.samples] == list(task.utterances)
        for sample in task.samples:
            assert sample.reward == variety([], [sample.text])[0]
            assert len(sample.logp) == len(sample.ids)


def test_only_a_finished_answer_ends_with_the_end_token(bench: Bench, tmp_path: Path):
    ends = bench.speechlm.lm.end_ids
    made = rollouts(bench, tmp_path, sample=Sampling(temperature=2.0, max_new_tokens=60))
    for sample in (s for task in made.tasks(0)[0] for s in task.samples):
        assert (sample.ids[-1] in ends) == sample.finished
        assert not set(sample.ids[:-1]) & set(ends)


def test_an_answer_depends_on_seed_utterance_and_round_alone(bench: Bench, tmp_path: Path):
    one, other = (rollouts(bench, tmp_path / name) for name in ("a", "b"))
    other.plan = [list(reversed(step)) for step in other.plan]
    assert answers(one, 0) == answers(other, 0)
    assert answers(rollouts(bench, tmp_path / "c"), 0) != answers(
        Rollouts(bench.speechlm, bench.bank, one.plan, SMALL, None, tmp_path / "d", seed=6), 0
    )


@pytest.mark.parametrize(
    ("refresh", "rounds"), [("once", [0, 0, 0, 0]), ("per_round", [0, 0, 1, 1]), ("online", [0, 1, 2, 3])]
)
def test_a_round_is_the_run_some_updates_or_one(refresh: str, rounds: list[int]):
    settings = replace(SMALL, refresh=refresh, round_steps=2)
    assert [round_of(step, settings) for step in range(4)] == rounds


@pytest.mark.parametrize("refresh", ["once", "per_round", "online"])
def test_answers_follow_the_policy_only_where_they_are_refreshed(bench: Bench, tmp_path: Path, refresh: str):
    add_lora(bench.speechlm, 4, 8, seed=1)
    still = [answers(rollouts(bench, tmp_path / "still", refresh=refresh, round_steps=2), step) for step in range(4)]
    made, news, same = rollouts(bench, tmp_path / "moved", refresh=refresh, round_steps=2), [], []
    for step in range(4):
        news.append(made.tasks(step)[1])
        same.append(answers(made, step) == still[step])
        move(bench)
    assert news == {"once": [1, 0, 0, 0], "per_round": [1, 0, 1, 0], "online": [1, 1, 1, 1]}[refresh]
    assert same == {"once": [1, 1, 1, 1], "per_round": [1, 1, 0, 0], "online": [1, 0, 0, 0]}[refresh]


def test_kept_answers_are_read_back_and_not_drawn_again(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = rollouts(bench, tmp_path).tasks(0)[0]
    monkeypatch.setattr("rba.alignment.sampler.generate", None)
    assert rollouts(bench, tmp_path).tasks(0)[0] == first


@pytest.mark.parametrize("refresh", ["once", "per_round", "online"])
def test_answers_of_an_earlier_policy_are_scored_under_it(bench: Bench, tmp_path: Path, refresh: str):
    add_lora(bench.speechlm, 4, 8, seed=1)
    made = rollouts(bench, tmp_path, old=True, typed=True, refresh=refresh, round_steps=2)
    for step in range(4):
        for sample in (s for task in made.tasks(step)[0] for s in (*task.samples, *task.typed)):
            if refresh == "online":  # the policy that trains on them has drawn them
                assert not sample.old
            else:
                assert sample.old == pytest.approx(sample.logp, abs=1e-4)
        move(bench)


def test_answers_drawn_for_a_method_without_ratios_serve_one_with(bench: Bench, tmp_path: Path, monkeypatch):
    add_lora(bench.speechlm, 4, 8, seed=1)
    without = rollouts(bench, tmp_path).tasks(0)[0]
    assert not any(s.old for t in without for s in t.samples)
    monkeypatch.setattr("rba.alignment.sampler.generate", None)
    move(bench)
    with_old = rollouts(bench, tmp_path, old=True).tasks(0)[0]
    for sample in (s for t in with_old for s in t.samples):
        assert sample.old == pytest.approx(sample.logp, abs=1e-4)
    assert [[replace(s, old=()) for s in t.samples] for t in with_old] == [list(t.samples) for t in without]
    assert rollouts(bench, tmp_path).tasks(0)[0] == with_old  # and the other way round


def test_answers_drawn_for_a_method_without_rewards_serve_one_with(bench: Bench, tmp_path: Path, monkeypatch):
    without = rollouts(bench, tmp_path)
    without.reward = None
    assert all(s.reward is None for t in without.tasks(0)[0] for s in t.samples)
    monkeypatch.setattr("rba.alignment.sampler.generate", None)
    assert all(s.reward is not None for t in rollouts(bench, tmp_path).tasks(0)[0] for s in t.samples)


def test_once_means_from_the_initial_model_also_when_drawn_later(bench: Bench, tmp_path: Path):
    add_lora(bench.speechlm, 4, 8, seed=1)
    first = answers(rollouts(bench, tmp_path / "a"), 0)
    move(bench)
    assert answers(rollouts(bench, tmp_path / "b"), 0) == first
    assert answers(rollouts(bench, tmp_path / "c", refresh="online"), 1) != first


@pytest.mark.parametrize("refresh", ["once", "online"])
def test_parts_of_a_reward_travel_with_the_samples_and_are_kept(bench: Bench, tmp_path: Path, refresh: str):
    def made() -> Rollouts:
        found = rollouts(bench, tmp_path, refresh=refresh)
        found.reward = WeightedReward([(variety, 2), (spaces, 0)], "group")
        return found

    tasks = made().tasks(0)[0]
    for sample in (s for task in tasks for s in task.samples):
        assert dict(sample.parts) == {"variety": len(set(sample.text)) / 8, "spaces": sample.text.count(" ")}
    for task in tasks:
        assert sum(s.reward for s in task.samples) == pytest.approx(0, abs=1e-9)
    assert made().tasks(0)[0] == tasks


def spaces(completions: list[str], **columns: Any) -> list[int]:
    return [text.count(" ") for text in completions]


def test_several_answers_share_a_prompt_and_the_first_is_what_one_alone_would_be(bench: Bench, tmp_path: Path):
    one = rollouts(bench, tmp_path / "a").tasks(0)[0]
    three = rollouts(bench, tmp_path / "b", answers=3).tasks(0)[0]
    for alone, many in zip(one, three):
        assert [s.utterance for s in many.samples] == [u for u in many.utterances for _ in range(3)]
        assert [s.ids for s in many.samples[::3]] == [s.ids for s in alone.samples]
        assert len({s.ids for s in many.samples}) > len(many.utterances)
        assert all(s.reward == variety([], [s.text])[0] for s in many.samples)


def test_typed_requests_have_as_many_answers_as_all_voices_and_their_own_rewards(bench: Bench, tmp_path: Path):
    made = rollouts(bench, tmp_path, answers=2)
    spoken = rollouts(bench, tmp_path, answers=2).tasks(0)[0]
    made.typed = True
    for task, heard in zip(made.tasks(0)[0], spoken):
        assert len(task.typed) == len(task.samples) == 2 * len(task.utterances)
        assert task.samples == heard.samples
        assert all(s.reward == variety([], [s.text])[0] for s in task.typed)
    again = rollouts(bench, tmp_path, answers=2)
    again.typed = True
    assert again.tasks(0)[0] == made.tasks(0)[0]


def test_the_answers_of_an_update_are_rewarded_together_however_many(bench: Bench, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr("rba.alignment.rollout.SHARD", 1)
    sizes: list[int] = []
    made = rollouts(bench, tmp_path, refresh="online")
    made.reward = lambda prompts, texts, ids, **columns: sizes.append(len(texts)) or [1.0] * len(texts)
    tasks, _ = made.tasks(0)
    assert len(tasks) > 1
    assert sizes == [sum(len(task.utterances) for task in tasks)]


def test_a_reward_is_told_which_utterance_each_answer_is_to(bench: Bench, tmp_path: Path):
    told: list[dict[str, list[str]]] = []
    made = rollouts(bench, tmp_path, answers=2)
    made.typed = True
    made.reward = lambda prompts, texts, ids, **columns: told.append(columns) or [1.0] * len(texts)
    made.tasks(0)
    by_id = {row.id: row for row in bench.utterances}
    spoken, typed = told
    assert len(spoken["utterance"]) == 2 * len(bench.utterances)
    assert spoken["speaker"] == [by_id[name].speaker for name in spoken["utterance"]]
    assert spoken["instruction_id"] == [by_id[name].instruction_id for name in spoken["utterance"]]
    assert set(typed["instruction_id"]) == set(spoken["instruction_id"])
    assert set(typed["utterance"] + typed["speaker"]) == {""}


def test_rewards_of_another_sum_are_kept_apart(bench: Bench, tmp_path: Path):
    first = rollouts(bench, tmp_path).tasks(0)[0]
    other = rollouts(bench, tmp_path)
    other.mark, other.reward = "more-", lambda prompts, texts, ids, **columns: [7.0] * len(texts)
    for plain, task in zip(first, other.tasks(0)[0]):
        assert [s.ids for s in task.samples] == [s.ids for s in plain.samples]
        assert {s.reward for s in task.samples} == {7.0}


@pytest.mark.parametrize("refresh", ["once", "online"])
def test_a_reward_without_any_value_ends_the_training_and_is_asked_again_once_mended(
    bench: Bench, tmp_path: Path, refresh: str
):
    made = rollouts(bench, tmp_path, refresh=refresh)
    made.reward = WeightedReward([(silent, 1)])
    with pytest.raises(ModelError, match=r"none of \d+ answers has a reward \(silent: no value \(\d+\)\); mend the"):
        for step in range(len(made.plan)):
            made.tasks(step)
    again = rollouts(bench, tmp_path, refresh=refresh)
    again.reward = WeightedReward([(variety, 1)])
    assert all(s.reward is not None for t in again.tasks(0)[0] for s in t.samples)


def test_a_first_small_update_without_rewards_may_be_chance(bench: Bench, tmp_path: Path):
    made = rollouts(bench, tmp_path, refresh="online")
    made.reward = WeightedReward([(silent, 1)])
    assert all(s.reward is None for t in made.tasks(0)[0] for s in t.samples)
    made.reward = WeightedReward([(variety, 1)])
    made.tasks(1)
    made.reward = WeightedReward([(silent, 1)])
    for step in range(2, len(made.plan)):
        made.tasks(step)


def silent(completions: list[str], **columns: Any) -> list[None]:
    return [None] * len(completions)
