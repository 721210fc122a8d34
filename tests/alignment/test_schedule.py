"""The learning rate: warm-up, cosine, and a multiplier that backs off and recovers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rba.alignment.schedule import AdaptiveRate, Trend
from rba.alignment.settings import AdaptiveSettings
from rba.rates import warmup_cosine

PLAIN = AdaptiveSettings(backoff=0.5, recover=1.25, floor=0.1, drift_target=0.2, smooth=0.0, tolerance=0.0)


def test_the_rate_rises_to_the_peak_and_falls_to_a_hundredth():
    rates = [warmup_cosine(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1
    assert rates[55] == pytest.approx(0.505)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


@given(st.integers(1, 500), st.floats(0, 0.99))
def test_the_rate_is_always_a_share_of_the_peak(total: int, warmup: float):
    assert all(0 < warmup_cosine(step, total, warmup) <= 1 for step in range(total))


def test_drift_over_the_target_backs_off_and_less_recovers():
    rate = AdaptiveRate(PLAIN)
    rate.observe_drift(0.3)
    rate.observe_drift(0.21)
    assert rate.multiplier == 0.25
    rate.observe_drift(0.19)
    assert rate.multiplier == 0.3125


def test_the_multiplier_stays_between_the_floor_and_one():
    rate = AdaptiveRate(PLAIN)
    for _ in range(20):
        rate.observe_drift(9.0)
    assert rate.multiplier == 0.1
    for _ in range(40):
        rate.observe_drift(0.0)
    assert rate.multiplier == 1


def test_a_falling_score_backs_off_and_a_rising_one_recovers():
    rate = AdaptiveRate(PLAIN)
    for value, expected in [(1.0, 1.0), (0.8, 0.5), (0.7, 0.25), (0.75, 0.3125), (1.2, 0.390625)]:
        rate.observe_score("validation", value)
        assert rate.multiplier == pytest.approx(expected)


def test_no_recovery_while_another_alarm_stands():
    rate = AdaptiveRate(PLAIN)
    rate.observe_score("validation", 1.0)
    rate.observe_drift(0.5)
    rate.observe_score("validation", 2.0)
    assert rate.multiplier == 0.5
    rate.observe_drift(0.1)
    assert rate.multiplier == 0.625


def test_switched_off_it_only_watches():
    rate = AdaptiveRate(AdaptiveSettings(enabled=False))
    rate.observe_drift(99.0)
    assert rate.multiplier == 1
    assert rate.alarms == {"drift": True}


def test_a_score_must_fall_by_more_than_its_noise():
    def alarms(values: list[float]) -> list[bool]:
        trend = Trend()
        return [trend.update(value, 0.5, 1.0) for value in values]

    assert alarms([1.0, 1.1, 1.0, 1.1, 1.0]) == [False] * 5
    assert alarms([1.0, 0.9, 0.8, 0.7])[-2:] == [True, True]


def test_noise_alone_is_seldom_an_alarm_and_a_fall_that_stays_is_one():
    """The defaults, on rewards whose spread is 1: few alarms while the mean stays or rises, one soon after it falls."""
    rng, settings = np.random.default_rng(0), AdaptiveSettings()

    def alarms(means: np.ndarray) -> np.ndarray:
        trend = Trend()
        return np.array([trend.update(v, settings.smooth, settings.tolerance) for v in means + rng.normal(size=100)])

    steady, rising = np.zeros(100), np.linspace(0, 3, 100)
    falls = np.where(np.arange(100) < 50, 0.0, -2.0)
    assert np.mean([alarms(steady) for _ in range(100)]) < 0.08
    assert np.mean([alarms(rising) for _ in range(100)]) < 0.03
    assert np.mean([alarms(falls)[50:70].any() for _ in range(100)]) > 0.98


def test_on_noise_the_rate_stays_high():
    rng = np.random.default_rng(1)
    rate = AdaptiveRate(AdaptiveSettings())
    held = []
    for value in rng.normal(size=400):
        rate.observe_score("reward", value)
        held.append(rate.multiplier)
    assert np.mean(held) > 0.8


def test_a_lower_level_that_is_held_is_no_alarm():
    trend = Trend()
    for value in (1.0, 0.5, 0.4):
        trend.update(value, 0.0, 0.0)
    assert not trend.update(0.4, 0.0, 0.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=12), st.lists(st.floats(0, 1), max_size=4))
def test_its_state_goes_through_json_and_goes_on_the_same(past: list[tuple[bool, float]], future: list[float]):
    def feed(rate: AdaptiveRate, values: list[tuple[bool, float]]):
        for is_drift, value in values:
            rate.observe_drift(value) if is_drift else rate.observe_score("reward", value)

    one, other = AdaptiveRate(AdaptiveSettings()), AdaptiveRate(AdaptiveSettings())
    feed(one, past)
    other.restore(json.loads(json.dumps(one.state())))
    for rate in (one, other):
        feed(rate, [(False, value) for value in future])
    assert one.state() == other.state()
