"""Reference-word recall: what counts as the same word, what a share of it is, and what length costs."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.rewards.recall import Recall, f1, length_penalty, recall
from rba.rewards.words import content_words, words

VOCABULARY = ("the", "a", "cat", "cats", "sat", "on", "red", "mat", "while", "dogs", "bark", "1,000", "don't", "?")
SENTENCES = st.lists(st.sampled_from(VOCABULARY), max_size=30).map(" ".join)


def test_words_are_compared_without_case_accents_punctuation_or_digit_grouping():
    assert words("Café-au-lait, don't! 1,000 CATS") == ["cafe", "au", "lait", "dont", "1000", "cats"]


def test_content_words_leave_function_words_out_and_join_singular_and_plural():
    assert content_words("The cities of the cats") == {"city", "cat"} == content_words("a city, and a cat")
    assert content_words("the bus is his glass") == {"bus", "glass"}


def test_a_text_of_function_words_only_is_compared_by_them():
    assert content_words("Yes, you can.") == {"yes", "you", "can"}
    assert recall("yes you may", "Yes, you can.") == pytest.approx(2 / 3)


def test_recall_is_the_share_of_the_references_distinct_content_words():
    reference = "Canberra is the capital of Australia. Canberra, not Sydney!"
    assert recall("It is Canberra.", reference) == pytest.approx(1 / 4)
    assert recall("The capital of Australia is Canberra, not Sydney.", reference) == 1
    assert recall("", reference) == 0


def test_nothing_can_be_recalled_from_a_wordless_reference():
    assert recall("anything", "...") is None
    assert Recall()(["q"], ["anything"], reference=["?!"]) == [None]


def test_length_is_free_up_to_half_as_much_again_then_costs_like_bleus_brevity_penalty():
    reference = "one two three four"
    assert length_penalty("w " * 6, reference) == 1
    assert length_penalty("w " * 12, reference) == pytest.approx(math.exp(1 - 12 / 6))


def test_saying_everything_scores_below_saying_the_point():
    reference = "Boil the egg for six minutes."
    everything = " ".join(f"word{i}" for i in range(60)) + " boil egg six minutes"
    point, flood = Recall()(["q"] * 2, ["Six minutes in boiling water.", everything], reference=[reference] * 2)
    assert recall(everything, reference) == 1
    assert point > flood


@pytest.mark.parametrize("answer", ["Yes, you can.", "Yes, you can do it with a knife."])
def test_a_reference_of_function_words_is_compared_by_all_words(answer):
    assert recall(answer, "Yes, you can.") == 1.0
    assert recall("Knives cut bread.", "Yes, you can.") == 0.0
    assert f1(answer, "Yes, you can.") == pytest.approx(2 * 3 / (3 + len(set(words(answer)))))


@settings(deadline=None)
@given(SENTENCES, SENTENCES)
def test_the_reward_stays_in_the_unit_interval_and_an_echo_is_perfect(answer, reference):
    value = Recall()(["q"], [answer], reference=[reference])[0]
    if not words(reference):
        assert value is None
    else:
        assert 0 <= value <= 1
        assert Recall()(["q"], [reference], reference=[reference]) == [1.0]


@settings(deadline=None)
@given(SENTENCES, SENTENCES, st.randoms())
def test_word_order_does_not_matter(answer, reference, random):
    shuffled = answer.split()
    random.shuffle(shuffled)
    assert recall(" ".join(shuffled), reference) == recall(answer, reference)
