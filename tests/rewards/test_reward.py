"""Rewards by name: sums, faults in single samples, broken rewards, and the watch on length."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.errors import RecipeError
from rba.rewards.reward import load_reward
from rba.rewards.spec import NAMES, parse_weights
from rba.rewards.summary import length_correlation
from rba.rewards.weighted import WeightedReward


class Table:
    """A reward that looks its values up; a value that is an exception is raised."""

    def __init__(self, values, name="table"):
        self.values, self.name = values, name

    def __call__(self, prompts, completions, completion_ids=None, *, reference, **columns):
        found = [self.values[c] for c in completions]
        for value in found:
            if isinstance(value, Exception):
                raise value
        return found


@pytest.mark.parametrize(
    ("spec", "weights"),
    [
        ("recall", {"recall": 1}),
        ("recall - deaf", {"recall": 1, "deaf": -1}),
        ("0.5*similarity+recall", {"similarity": 0.5, "recall": 1}),
        ("likelihood-sum - 2 * deaf", {"likelihood-sum": 1, "deaf": -2}),
        ({"recall": 1, "deaf": -0.5}, {"recall": 1, "deaf": -0.5}),
    ],
)
def test_a_spec_is_a_signed_weighted_sum_of_names(spec, weights):
    assert parse_weights(spec) == weights


@pytest.mark.parametrize(
    "spec", ["", "recal", "recall similarity", "recall +", "recall + recall", "2*", "recall*2", {}]
)
def test_an_unreadable_spec_is_refused_in_one_line_that_shows_how(spec):
    with pytest.raises(RecipeError, match="recall"):
        parse_weights(spec)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.floats(0.001, 99).map(lambda w: round(w, 3)), min_size=1))
def test_what_is_written_is_what_is_read(weights):
    assert parse_weights(" + ".join(f"{w}*{n}" for n, w in weights.items())) == weights


def test_a_sum_adds_weighted_values():
    reward = load_reward("recall - 2*deaf")
    answers = ["Canberra.", "I didn't hear you, Canberra?"]
    assert reward(["q"] * 2, answers, reference=["Canberra"] * 2) == pytest.approx([1, math.exp(1 - 5 / 1.5) - 2])
    assert reward.name == "recall + -2*deaf"


@pytest.mark.parametrize("spec", ["similarity", "likelihood"])
def test_a_reward_that_lacks_its_model_says_so(spec):
    with pytest.raises(RecipeError, match="the reward needs"):
        load_reward(spec)


def test_models_are_loaded_only_where_a_reward_needs_them():
    def load():
        raise AssertionError("loaded")

    load_reward("recall", teacher=load, embedder=load)
    with pytest.raises(AssertionError):
        load_reward("likelihood", teacher=load)


def test_values_that_are_no_numbers_become_none_and_are_counted():
    reward = WeightedReward([(Table({"a": 1.0, "b": math.nan, "c": None, "d": -math.inf}), 1)])
    assert reward(["q"] * 4, list("abcd"), reference=[""] * 4) == [1.0, None, None, None]
    assert reward.dropped == {"table: not finite": 2, "table: no value": 1}


def test_a_sample_that_raises_costs_itself_only():
    reward = WeightedReward([(Table({"a": 1.0, "b": KeyError("b"), "c": 3.0}), 2)])
    assert reward(["q"] * 3, ["a", "b", "c"], [[1], [2], [3]], reference=[""] * 3) == [2.0, None, 6.0]
    assert reward.dropped == {"table: KeyError": 1}


def test_a_reward_that_raises_on_every_sample_is_broken_and_raises():
    with pytest.raises(ZeroDivisionError):
        WeightedReward([(Table({"a": ZeroDivisionError()}), 1)])(["q"] * 2, ["a", "a"], reference=["", ""])


def test_one_part_without_value_leaves_the_sum_without_value():
    reward = WeightedReward([(Table({"a": 1.0, "b": 1.0}), 1), (Table({"a": None, "b": 2.0}, "other"), 1)])
    assert reward(["q"] * 2, ["a", "b"], reference=[""] * 2) == [None, 3.0]
    assert reward.dropped == {"other: no value": 1}


def test_length_correlation_is_pearsons_and_leaves_unscored_answers_out():
    rewards, lengths = [0.1, None, 0.5, 0.2, 0.9], [3, 100, 7, 9, 12]
    oracle = np.corrcoef([0.1, 0.5, 0.2, 0.9], [3, 7, 9, 12])[0, 1]
    assert length_correlation(rewards, lengths) == pytest.approx(oracle)
    assert length_correlation([1, 1, 1], [1, 2, 3]) is None
    assert length_correlation([None, 1.0], [1, 2]) is None
