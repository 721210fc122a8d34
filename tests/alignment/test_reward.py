"""The rewards of a training load what they need, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rba.alignment.reward import recipe_reward
from rba.lm.task import NO_TASK
from rba.teachers.local import LocalTeacher
from rba.testing.tiny_lm import tiny_text_lm

from .conftest import SMALL


def test_a_teacher_that_also_judges_is_loaded_once(monkeypatch: pytest.MonkeyPatch):
    loaded: list[str] = []

    def load(name: str) -> LocalTeacher:
        loaded.append(name)
        return LocalTeacher(tiny_text_lm())

    monkeypatch.setattr("rba.teachers.load.load_teacher", load)
    settings = replace(SMALL, reward="likelihood + judge")
    reward = recipe_reward(settings, "teacher", "Be brief.", NO_TASK)
    likelihood, judge = (part for part, _ in reward.parts.values())
    assert loaded == ["teacher"]
    assert likelihood.teacher.lm is judge.judge.lm
    assert (likelihood.teacher.system, judge.judge.system) == ("Be brief.", "")
