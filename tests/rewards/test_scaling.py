"""z-scores over a batch or a group."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.rewards.scaling import z_scores

VALUES = st.lists(st.none() | st.integers(-50, 50).map(float), max_size=12)


def test_over_a_batch_they_are_numpys():
    values = [3.0, -1.0, 0.5, 7.25]
    assert z_scores(values) == pytest.approx((np.array(values) - np.mean(values)) / np.std(values))


def test_over_groups_each_has_its_own_mean_and_spread():
    assert z_scores([1, 10, 3, 30, 5], ["a", "b", "a", "b", "c"]) == [-1, -1, 1, 1, 0]


def test_what_has_no_value_counts_for_nothing():
    assert z_scores([None, 1.0, None, 3.0]) == [None, -1, None, 1]
    assert z_scores([None]) == [None]


@pytest.mark.parametrize("values", [[2.0] * 3, [0.0] * 3, [0.1 + 0.2, 0.3, 0.3], [1000.0, 1000.0 + 1e-5, 1000.0]])
def test_values_that_do_not_differ_beyond_rounding_have_none_to_scale(values):
    assert z_scores(values) == [0.0] * 3


@settings(deadline=None)
@given(VALUES, st.floats(0.01, 100), st.floats(-10, 10), st.randoms())
def test_neither_order_nor_affine_scale_matters(values, factor, offset, random):
    groups = [i % 3 for i in range(len(values))]
    expected = z_scores(values, groups)
    order = list(range(len(values)))
    random.shuffle(order)
    changed = [None if values[i] is None else factor * values[i] + offset for i in order]
    found = z_scores(changed, [groups[i] for i in order])
    for i, z in zip(order, found):
        assert (z is None) == (expected[i] is None)
        assert z is None or z == pytest.approx(expected[i], abs=1e-6)
