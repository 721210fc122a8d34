"""Requests that cannot be spoken, are not the user's, or need figures and code are named and dropped."""

from __future__ import annotations

import pytest

from rba.lm.preamble import Example
from rba.synthesis.filters import FILTERS, is_looping, why_dropped
from rba.synthesis.language import function_share, is_english
from rba.synthesis.settings import SynthesisSettings

SETTINGS = SynthesisSettings()

DROPPED = {
    "too short": ["", "Hello", "Thank you"],
    "too long": ["Tell me about " + "very " * 60 + "old trees.", "Tell me about " + "extraordinarily " * 30],
    "markup": [
        "What is tea?\n\nBe brief.",
        "**Bold** words matter to me",
        "- list my first point",
        "1. What is it like?",
    ],
    "address": [
        "What is on www.example.com today?",
        "Write to me at ann@example.org please",
        "Is python.org any good?",
    ],
    "code": [
        "Write a Python function.",
        "What does my_list do?",
        "Fix the code in my program",
        "Sort the data set for me.",
    ],
    "maths": [
        "Solve the quadratic for me.",
        "What is 3 + 4?",
        "What is $x$ here?",
        "Add 3, 5, 8 and 13 for me.",
        "Is y = 2x?",
    ],
    "not sayable": [
        "Привет, как дела сегодня?",
        "What is a B2B1 thing?",
        "What does @ mean?",
        "Say aaaaaah to me",
        "你好吗，你好吗 to you",
    ],
    "not English": ["Was ist die Hauptstadt von Deutschland?", "Quelle est la capitale de la France?"],
    "assistant side": [
        "Sure, I can do that.",
        "As an AI, I have no feelings.",
        "How can I help you today?",
        "Q: Why is it so?",
    ],
    "missing material": ["Summarize the following text.", "What does this paragraph mean?", "Here you go, read these:"],
    "editing": ["Rewrite my letter to sound nicer.", "Translate good morning into French."],
    "no request": ["The World Trade Center is in New York City.", "It was raining in the old town."],
    "loops": ["What is the best way to go and the best way to go and the best way to go?"],
}

KEPT = [
    "What is the capital of France?",
    "I'm planning a solo trip to England. What should I do?",
    "Tell me a joke about lawyers.",
    "Who won the World Cup in 1998?",
    "How long should I boil an egg at 3,000 feet?",
    "Is a 5 percent raise good after two years?",
    "How do I make a café latte at home?",
    "Write a script for a short film about a lost dog.",
    "How should I react to bad news?",
    "My code of conduct at work is strict. Is that usual?",
    "I feel sad today.",
    "Can you determine the best time to visit Rome?",
]


@pytest.mark.parametrize(("reason", "text"), [(r, t) for r, texts in DROPPED.items() for t in texts])
def test_a_faulty_request_is_dropped_for_its_reason(reason, text):
    assert FILTERS[reason](text, SETTINGS)
    assert why_dropped(text, True, SETTINGS)


@pytest.mark.parametrize("text", KEPT)
def test_a_good_request_is_kept(text):
    assert why_dropped(text, True, SETTINGS) == ""


def test_every_filter_has_examples():
    assert set(DROPPED) | {"example"} == set(FILTERS)  # that one needs settings: see below


def test_the_first_filter_that_fires_names_the_reason():
    assert why_dropped("Привет", True, SETTINGS) == "too short"
    assert why_dropped("What is tea?\nSure, here is code: `x`", True, SETTINGS) == "markup"


def test_a_request_cut_at_the_longest_length_is_dropped():
    assert why_dropped("What is the capital of France?", False, SETTINGS) == "not ended"


def test_lengths_follow_the_settings():
    assert why_dropped("Tell me a joke about lawyers.", True, SynthesisSettings(max_words=5)) == "too long"
    assert why_dropped("Tell me a joke about lawyers.", True, SynthesisSettings(max_chars=20)) == "too long"
    assert why_dropped("Tell me a joke.", True, SynthesisSettings(min_words=5)) == "too short"


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("Why do cats purr?", True),
        ("Explain the class system in India.", True),
        ("Describe photosynthesis.", True),
        ("Was she happy about it?", True),
        ("Was ist in der Box?", False),
        ("Me gusta mucho la comida de mi abuela.", False),
        ("Qual è la capitale d'Italia e perché è famosa?", False),
        ("Wat is de hoofdstad van Nederland en waar ligt het?", False),
        ("Como posso aprender a cozinhar no fim de semana?", False),
        ("什么是", False),
        ("", False),
    ],
)
def test_english_is_told_from_its_neighbours(text, english):
    assert is_english(text) is english


def test_running_english_is_nearly_half_function_words():
    assert function_share("It was the best of times, and I do not know what they want from us.") > 0.45
    assert function_share("Aurkara Awnith Emad Dallakajghara") == 0


def test_a_long_text_may_repeat_a_phrase_once_but_not_go_on():
    once = "I like to walk in the park when it is warm, and I like to walk in the rain too."
    assert not is_looping(once, size=6)
    assert is_looping("and then the cat sat on the mat " * 4, size=6)


def test_a_request_that_only_repeats_an_example_is_dropped():
    settings = SynthesisSettings(examples=(Example("Who wrote Hamlet?", "Shakespeare"),))
    assert why_dropped("who wrote  HAMLET ?", True, settings) == "example"
    assert why_dropped("Who wrote Macbeth?", True, settings) == ""
    assert why_dropped("Who wrote Hamlet?", True, SynthesisSettings()) == ""
