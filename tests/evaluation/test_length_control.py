"""Length-controlled win rates: planted coefficients, symmetry, the pull to one half, and a generic optimiser's fit."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.evaluation.length_control import RIDGE, RIDGE_THETA, difficulty_term, fit, length_controlled, length_term


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def judged(n, quality, length_bias, longer_by, difficulty=0.0, seed=0):
    """Preferences drawn from the model itself; lengths differ by `longer_by` characters on average."""
    generator = np.random.default_rng(seed)
    difference = generator.normal(longer_by, 100, n)
    hard = generator.normal(size=n)
    odds = quality + length_bias * length_term(difference) + difficulty * hard
    return (generator.random(n) < sigmoid(odds)).astype(float), difference, hard


def test_planted_coefficients_are_recovered():
    wins, difference, hard = judged(20_000, quality=0.4, length_bias=1.2, longer_by=60, difficulty=-0.7)
    features = np.stack([np.ones(20_000), length_term(difference), hard], -1)
    found = fit(features, wins, np.ones((1, 20_000)), np.array([RIDGE_THETA, RIDGE, RIDGE]))
    assert found[0] == pytest.approx([0.4, 1.2, -0.7], abs=0.06)


def test_the_fit_is_the_one_a_generic_optimiser_finds():
    generator = np.random.default_rng(5)
    features, wins = generator.normal(size=(60, 3)), generator.choice([0, 0.5, 1], 60)
    weights, ridge = generator.integers(0, 4, 60).astype(float), np.array([0.01, 1, 1])

    def loss(b):
        odds = features @ b
        return (weights * (np.logaddexp(0, odds) - wins * odds)).sum() + 0.5 * (ridge * b**2).sum()

    oracle = scipy.optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9}).x
    assert fit(features, wins, weights[None], ridge)[0] == pytest.approx(oracle, abs=1e-5)


def test_answers_that_win_by_length_alone_go_back_toward_one_half():
    wins, difference, _ = judged(4000, quality=0.0, length_bias=2.0, longer_by=120)
    assert wins.mean() > 0.7
    assert length_controlled(wins, difference)[0] == pytest.approx(0.5, abs=0.04)


def test_answers_that_win_by_quality_keep_their_win_rate():
    wins, difference, _ = judged(4000, quality=1.0, length_bias=0.0, longer_by=0)
    assert length_controlled(wins, difference)[0] == pytest.approx(wins.mean(), abs=0.01)


def test_a_model_against_itself_wins_half():
    assert length_controlled(np.full(30, 0.5), np.zeros(30))[0] == pytest.approx(0.5)


def test_a_model_that_always_wins_gets_almost_everything_and_no_overflow():
    rate = length_controlled(np.ones(200), np.random.default_rng(0).normal(size=200))[0]
    assert 0.99 < rate <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60))
def test_swapping_the_sides_gives_the_complement(seed, n):
    generator = np.random.default_rng(seed)
    wins, difference, hard = generator.choice([0, 0.5, 1], n), generator.normal(20, 50, n), generator.normal(size=n)
    there = length_controlled(wins, difference, difficulty_M=hard)[0]
    back = length_controlled(1 - wins, -difference, difficulty_M=-hard)[0]
    assert there == pytest.approx(1 - back, abs=1e-7)
    assert 0 <= there <= 1


def test_a_weight_of_two_is_the_pair_twice():
    wins, difference, _ = judged(40, 0.5, 1.0, 30)
    weights = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=3).astype(float)
    scale = length_term(difference)
    for row, rate in zip(weights, length_controlled(wins, difference, weights)):
        chosen = np.repeat(np.arange(40), row.astype(int))
        features = np.stack([np.ones(40), scale], -1)[chosen]
        theta = fit(features, wins[chosen], np.ones((1, 40)), np.array([RIDGE_THETA, RIDGE]))[0][0]
        assert rate == pytest.approx(sigmoid(theta))


def test_difficulty_needs_two_other_models_that_differ():
    assert difficulty_term(np.ones((1, 5))) is None
    assert difficulty_term(np.full((3, 5), 0.5)) is None
    term = difficulty_term(np.array([[1, 0, 0.5, np.nan], [1, 0, 0.5, 0.5]]))
    assert term.mean() == pytest.approx(0)
    assert term.std() == pytest.approx(1)
    assert term[0] > term[2] > term[1]


def test_difficulty_removes_the_luck_of_the_draw():
    wins, difference, hard = judged(6000, quality=0.0, length_bias=1.0, longer_by=80, difficulty=2.0)
    assert length_controlled(wins, difference, difficulty_M=hard)[0] == pytest.approx(0.5, abs=0.03)
