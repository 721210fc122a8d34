"""The repetition penalty."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.rewards.repetition import Repetition, repetition


def test_it_is_the_share_of_trigrams_said_before():
    assert repetition("the cat sat on the mat") == 0
    assert repetition("no no no no no") == pytest.approx(2 / 3)
    assert repetition("a b c a b c") == pytest.approx(1 / 4)
    assert repetition("a b a b", order=2) == pytest.approx(1 / 3)


def test_answers_too_short_to_repeat_have_none_and_no_reference_is_needed():
    assert Repetition()(["q"] * 3, ["", "no", "no no"]) == [0, 0, 0]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=20))
def test_saying_it_again_is_never_less_repetitive(words):
    once = repetition(" ".join(words))
    assert 0 <= once < 1
    assert repetition(" ".join(words * 2)) >= once
