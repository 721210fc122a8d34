"""The rewards of a training load what they need, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rba.alignment.reward import reward_loader
from rba.lm.task import NO_TASK
from rba.rewards.weighted import WeightedReward
from rba.teachers.local import LocalTeacher
from rba.testing.tiny_lm import tiny_text_lm

from .conftest import SMALL


def test_a_teacher_that_also_judges_is_loaded_once_for_all_rewards_of_a_training(monkeypatch: pytest.MonkeyPatch):
    loaded: list[str] = []

    def load(name: str) -> LocalTeacher:
        loaded.append(name)
        return LocalTeacher(tiny_text_lm())

    monkeypatch.setattr("rba.teachers.load.load_teacher", load)
    settings = replace(SMALL, reward="likelihood + judge")
    make = reward_loader(settings, "teacher", "Be brief.", NO_TASK)
    more = make({"recall": 0.5})
    assert isinstance(more, WeightedReward) and len(more.parts) == 3
    reward = make()
    assert isinstance(reward, WeightedReward)
    likelihood, judge = (part for part, _ in reward.parts.values())
    assert loaded == ["teacher"]
    assert likelihood.teacher.lm is judge.judge.lm
    assert (likelihood.teacher.system, judge.judge.system) == ("Be brief.", "")
