"""Consistency across voices, and variety across instructions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rba.evaluation.bootstrap import Bootstrap
from rba.evaluation.consistency import consistency
from rba.evaluation.distinct_n import distinct_n, ngrams, shares

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join), min_size=1, max_size=6)


def unit(shape, seed=0):
    vectors = np.random.default_rng(seed).normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_equal_answers_are_perfectly_consistent_and_opposite_ones_are_not():
    one = unit((1, 1, 5))
    assert consistency(np.repeat(one, 4, axis=1)) == pytest.approx([1])
    assert consistency(np.concatenate([one, -one], axis=1)) == pytest.approx([-1])


def test_with_four_voices_it_is_the_mean_of_the_six_cosines():
    grid = unit((3, 4, 8))
    cosines = [[a @ b for a, b in itertools.combinations(answers, 2)] for answers in grid]
    assert np.shape(cosines) == (3, 6)
    assert consistency(grid) == pytest.approx(np.mean(cosines, axis=1))


def test_absent_answers_are_left_out_and_one_answer_agrees_with_nobody():
    grid = unit((2, 4, 8))
    grid[0, 3] = np.nan
    grid[1, 1:] = np.nan
    expected = np.mean([a @ b for a, b in itertools.combinations(grid[0, :3], 2)])
    assert consistency(grid) == pytest.approx([expected, np.nan], nan_ok=True)


def test_blank_answers_agree_with_nothing():
    grid = unit((1, 4, 8))
    grid[0, 2:] = 0
    assert consistency(grid) == pytest.approx([grid[0, 0] @ grid[0, 1] / 6])


def test_the_order_of_voices_does_not_matter():
    grid = unit((5, 4, 8))
    assert consistency(grid[:, [2, 0, 3, 1]]) == pytest.approx(consistency(grid))


def test_distinct_n_counts_each_n_gram_once():
    assert ngrams("The cat, the CAT", 2) == [("the", "cat"), ("cat", "the"), ("the", "cat")]
    assert distinct_n(["the cat the cat"], 2) == pytest.approx(2 / 3)
    assert distinct_n(["say it", "say it", "say it"], 2) == pytest.approx(1 / 3)
    assert np.isnan(distinct_n(["one"], 2))


@given(TEXTS, st.integers(1, 3))
def test_shares_add_up_to_the_definition(texts, n):
    parts, totals = shares(texts, n)
    grams = [g for t in texts for g in ngrams(t, n)]
    assert parts.sum() == pytest.approx(len(set(grams)))
    assert totals.sum() == len(grams)


def test_drawing_a_text_twice_does_not_look_like_repetition():
    texts = [f"word{i} other{i}" for i in range(20)]
    assert (Bootstrap(20, 100).ratio(*shares(texts, 1)) == 1).all()
