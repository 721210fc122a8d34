"""Rewards and judges whose model knows nothing of the run read its task above the request; the others do not."""

from __future__ import annotations

import pytest

from rba.evaluation.judge import load_judge
from rba.lm.task import TaskSettings
from rba.rewards.reward import load_reward

TASK = TaskSettings("Translate into Spanish: {}", "es")


class Reader:
    """A judge, teacher and reward model that keeps what it reads."""

    def __init__(self):
        self.read: list[str] = []

    def answer(self, texts, sampling, seeds):
        self.read += texts
        return ["7"] * len(texts)

    def score(self, texts, responses):
        self.read += texts
        return [1.0] * len(texts)

    def log_likelihood(self, texts, responses):
        self.read += texts
        return [(-1.0, 1)] * len(texts)


@pytest.mark.parametrize("name", ["judge", "judge-likelihood", "reward-model"])
def test_judge_and_reward_model_read_the_task(name):
    told, plain = Reader(), Reader()
    for reader, task in ((told, {"task": TASK}), (plain, {})):
        reward = load_reward(name, judge=reader, reward_model=reader, **task)
        assert reward(["A cat."], ["Un gato."], reference=["Un gato."])[0] is not None
        assert name in reward.parts_values
    assert all("Translate into Spanish: A cat." in text for text in told.read)
    assert plain.read and not any("Translate" in text for text in plain.read)


def test_the_teacher_that_has_the_task_in_its_turns_is_not_told_twice():
    reader = Reader()
    load_reward("likelihood", teacher=reader, task=TASK)(["A cat."], ["Un gato."], reference=["Un gato."])
    assert reader.read == ["A cat."]


def test_rewards_that_compare_texts_are_as_they_were():
    answers = (["A cat."] * 2, ["Un gato.", "Un perro grande."])
    told, plain = load_reward("bleu", task=TASK), load_reward("bleu")
    assert told(*answers, reference=["Un gato."] * 2) == plain(*answers, reference=["Un gato."] * 2)
    assert told.signatures == plain.signatures


def test_a_judge_of_pairs_reads_the_task():
    reader = Reader()
    load_judge("pairwise", judge=reader, task=TASK).prepare(["A cat."], ["Un gato."], ["Gato."], ["Un gato."])
    assert "Translate into Spanish: A cat." in reader.read[0]


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("bleu", "un gato negro", "un perro"),
        ("bleu-zh", "一只黑猫", "一条狗"),
        ("bleu-char", "一只黑猫", "一条狗"),
        ("chrf", "un gato", "dos"),
    ],
)
def test_translation_scores_judge(name, better, worse):
    judge = load_judge(name)
    assert judge.name == name and judge.prefer("", better, worse, better) == 1.0
    assert judge.prefer("", worse, better, better) == 0.0
