"""The teacher's answers: empty, endless, echoing and looping ones are of no use."""

from __future__ import annotations

import pytest

from rba.synthesis.answers import settled, trimmed, why_dropped
from rba.teachers.teacher import Reply

GOOD = "You should first talk to her, and then listen to what she has to say."
QUESTION = "What should I tell my sister?"


def test_a_finished_answer_is_kept_as_it_is():
    assert why_dropped(QUESTION, Reply(GOOD), "drop") == ""
    assert settled(Reply(f" {GOOD} "), "drop") == GOOD


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("empty answer", Reply("")),
        ("empty answer", Reply("...")),
        ("runaway answer", Reply(GOOD, finished=False)),
        ("echoing answer", Reply("what should I tell my sister")),
        ("looping answer", Reply("I think that you should talk to her. " * 5)),
        ("answer not English", Reply("Ich denke, dass du mit ihr reden solltest, sobald du kannst.")),
    ],
)
def test_a_useless_answer_is_named(reason, reply):
    assert why_dropped(QUESTION, reply, "drop") == reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Paris", ""),
        ("1945", ""),
        ("Maria Salomea Skłodowska Curie", ""),
        ("The capital of France is Paris.", "long answer"),
    ],
)
def test_answers_can_be_held_to_a_few_words(answer, reason):
    assert why_dropped("What is it?", Reply(answer), "drop", most_words=5) == reason


def test_a_runaway_answer_can_be_trimmed_to_whole_sentences():
    reply = Reply(GOOD + " Then you may want to ask her about", finished=False)
    assert settled(reply, "trim") == GOOD
    assert why_dropped(QUESTION, reply, "trim") == ""


def test_trimming_ends_at_a_sentence_not_at_an_abbreviation_or_a_list_number():
    assert trimmed("Go and see Dr. Miller about it. He is at No") == "Go and see Dr. Miller about it."
    assert trimmed("There are two ways to do it. 1. Call") == "There are two ways to do it."
    assert trimmed("There is no end to this") == ""
    assert trimmed("Yes. And there") == ""


def test_a_runaway_answer_without_a_whole_sentence_is_dropped_even_when_trimming():
    assert why_dropped(QUESTION, Reply("You should go to her and then", finished=False), "trim") == "runaway answer"
