"""Word F1: the harmonic mean of recall and precision of content words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rba.rewards.recall import f1, recall


def test_it_is_the_harmonic_mean():
    assert f1("the red car", "a red bus") == pytest.approx(0.5)
    assert f1("red car, green tree", "red car") == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert f1("red car", "red car") == 1
    assert f1("", "red car") == 0
    assert f1("red car", "") is None


def test_saying_more_raises_recall_but_not_f1():
    reference = "paris france capital"
    short, long = "paris france", "paris france capital river tower bread museum train wine"
    assert recall(long, reference) > recall(short, reference)
    assert f1(long, reference) < f1(short, reference)


@given(st.text("bcd ", max_size=30), st.text("bcd ", max_size=30))
def test_it_is_symmetric(a, b):
    one, other = f1(a, b), f1(b, a)
    assert one == other or None in (one, other)
