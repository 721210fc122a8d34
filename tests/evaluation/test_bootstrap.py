"""The paired bootstrap: coverage, pairing, clusters, and an independent oracle."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.evaluation.bootstrap import Bootstrap, Interval, interval


def test_row_zero_is_the_sample_and_every_resample_draws_n_instructions():
    weights = Bootstrap(7, 50, seed=3).weights_SN
    assert weights.shape == (51, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(-1) == 7).all()
    assert (weights == Bootstrap(7, 50, seed=3).weights_SN).all()
    assert not (weights == Bootstrap(7, 50, seed=4).weights_SN).all()


def test_intervals_cover_a_known_mean_about_95_times_in_100():
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        found = interval(Bootstrap(50, 200, seed=trial).mean(generator.normal(5, 2, 50)), 50)
        hits += found.low <= 5 <= found.high
    assert 0.88 <= hits / 200 <= 0.985


def test_the_interval_is_scipys_percentile_interval():
    values = np.random.default_rng(1).exponential(size=60)
    ours = interval(Bootstrap(60, 20_000, seed=0).mean(values), 60)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=2
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_a_paired_difference_does_not_see_how_hard_the_instructions_are():
    generator = np.random.default_rng(2)
    hard = generator.normal(0, 10, 100)
    bootstrap = Bootstrap(100, 1000)
    a, b = bootstrap.mean(hard + 1 + generator.normal(0, 0.1, 100)), bootstrap.mean(hard)
    found = interval(a - b, 100)
    assert 0.9 < found.low < 1 < found.high < 1.1
    assert interval(a, 100).high - interval(a, 100).low > 3


def test_voices_that_repeat_an_instruction_add_no_evidence():
    values = np.random.default_rng(3).normal(size=50)
    bootstrap = Bootstrap(50, 500)
    once = interval(bootstrap.mean(values), 50)
    four = interval(bootstrap.mean(np.repeat(values, 4), np.repeat(np.arange(50), 4)), 50)
    assert four.low == pytest.approx(once.low)
    assert four.high == pytest.approx(once.high)


def test_absent_values_are_left_out():
    values = np.array([1.0, np.nan, 3.0, np.nan])
    bootstrap = Bootstrap(4, 200)
    assert bootstrap.mean(values)[0] == 2
    assert bootstrap.mean(values, np.array([0, 0, 1, 2]))[0] == 2
    assert interval(bootstrap.mean(np.full(4, np.nan)), 4) == Interval(None, None, None)


def test_a_statistic_that_most_resamples_leave_undefined_has_no_bounds():
    assert interval(np.array([2.0] + [np.nan] * 50 + [1.0] * 50), 9) == Interval(2.0, None, None)


def test_one_instruction_alone_has_no_bounds():
    assert interval(Bootstrap(1, 50).mean(np.array([0.5])), 1) == Interval(0.5, None, None)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.floats(-3, 3), st.floats(0.1, 4))
def test_intervals_move_and_stretch_with_the_values(values, shift, scale):
    bootstrap = Bootstrap(len(values), 200)
    plain = interval(bootstrap.mean(np.array(values)), len(values))
    moved = interval(bootstrap.mean(np.array(values) * scale + shift), len(values))
    assert plain.low - 1e-9 <= plain.value <= plain.high + 1e-9 or len(set(values)) > 1
    assert (moved.low, moved.high) == pytest.approx((plain.low * scale + shift, plain.high * scale + shift), abs=1e-6)
