"""Objectives by name; a new one is a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rba.alignment import objectives
from rba.alignment.objectives.objective import Terms, gather, load_objective
from rba.errors import RecipeError

from .conftest import SMALL

NEW = """
class Nothing:
    name = "do-nothing"
    needs_samples = needs_rewards = needs_reference = False
    def __init__(self, settings):
        self.beta = settings.beta
OBJECTIVE = Nothing
"""


METHODS = ["dpo", "gkd", "grpo", "kd", "opd", "ppo", "rba-group", "rba-opd", "rba-single", "rloo", "sft", "tars"]


def test_every_method_is_known_by_name():
    assert objectives.available() == METHODS
    for name in objectives.available():
        assert load_objective(name, SMALL).name == name


def test_a_file_in_the_folder_is_a_new_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "do_nothing.py").write_text(NEW)
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(tmp_path)])
    assert "do-nothing" in objectives.available()
    assert load_objective("do-nothing", SMALL).beta == SMALL.beta


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match="rba-group, rba-opd, rba-single, rloo, sft"):
        load_objective("orpo", SMALL)


def test_what_a_method_needs_decides_what_is_prepared():
    needs = {
        n: (o.needs_samples, o.needs_rewards, o.needs_reference, o.needs_teacher, o.needs_typed)
        for n in objectives.available()
        for o in [load_objective(n, SMALL)]
    }
    assert needs == {
        "sft": (False, False, False, False, False),
        "kd": (False, False, False, True, False),
        "gkd": (True, False, False, True, False),
        "opd": (True, False, False, True, True),
        "rba-single": (True, False, False, False, False),
        "rba-group": (True, True, False, False, False),
        "rba-opd": (True, True, False, True, False),
        "dpo": (True, True, True, False, False),
        "grpo": (True, True, True, False, False),
        "rloo": (True, True, True, False, False),
        "ppo": (True, True, True, False, False),
        "tars": (True, True, False, False, True),
    }


class Watched:
    """Settings that tell which of them were read."""

    def __init__(self):
        self.read = set()

    def __getattr__(self, name: str):
        self.read.add(name)
        return getattr(SMALL, name)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_reads_the_sections_of_its_own(name: str):
    """What it reads beside them would not make its training stale when it changes."""
    watched = Watched()
    load_objective(name, watched)
    single = {section for method in METHODS for section in objectives.sections(method)}
    named = {section for section in objectives.sections(name) if hasattr(SMALL, section)}
    assert watched.read & single == named


def test_the_loss_is_the_sum_of_its_terms():
    assert Terms({"a": torch.tensor(1.5), "b": torch.tensor(-0.5)}).total == 1
    assert Terms({}).total == 0


def test_observations_are_gathered_by_name():
    assert gather([{"a": [1.0]}, {"b": [2.0], "a": [3.0, 4.0]}]) == {"a": [1, 3, 4], "b": [2]}
