"""The length penalty."""

import math

import pytest

from rba.rewards.length import Length, overrun
from rba.rewards.recall import length_penalty


def test_up_to_its_budget_an_answer_costs_nothing_then_more_and_more():
    reference = "one two three four"
    assert [overrun("w " * n, reference) for n in (0, 4, 6)] == [0, 0, 0]
    assert overrun("w " * 12, reference) == pytest.approx(1 - math.exp(-1))
    assert overrun("w " * 12, reference, budget=3) == 0
    assert 0.99 < overrun("w " * 100, reference) < 1


def test_it_takes_off_what_recall_is_multiplied_with():
    for n in (3, 7, 20):
        assert overrun("w " * n, "a cat sat") == pytest.approx(1 - length_penalty("w " * n, "a cat sat"))


def test_a_wordless_reference_sets_no_budget():
    assert Length()(["q"] * 2, ["a", "a"], reference=["?", "b"]) == [None, 0]
