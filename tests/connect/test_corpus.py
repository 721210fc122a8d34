"""The connector's texts: varied, speakable, distinct, and the same for the same seed."""

from __future__ import annotations

import re
from itertools import islice

import pytest

from rba.connect import corpus
from rba.connect.lexicon import article, lines, plural, pronounced_words, words
from rba.connect.slots import suffixed
from rba.errors import ModelError
from rba.testing.tiny_lm import tiny_text_lm


def test_templates_give_distinct_filled_speakable_texts():
    texts = [row["text"] for row in corpus.templated(400, seed=1)]
    assert len({t.lower() for t in texts}) == 400
    assert not any(re.search(r"[{}\[\]<>|]", t) for t in texts)
    assert max(len(t.split()) for t in texts) <= 30
    assert sum(any(c.isdigit() for c in t) for t in texts) > 60
    assert all(t[0].isupper() or t[0].isdigit() for t in texts)


def test_templates_depend_on_the_seed_alone():
    first = list(corpus.templated(60, seed=1))
    assert list(islice(corpus.templated(200, seed=1), 60)) == first
    assert list(corpus.templated(60, seed=2)) != first


def test_a_vocabulary_gets_into_the_texts():
    texts = " ".join(row["text"] for row in corpus.templated(200, seed=1, vocabulary=("zebrafish", "quill"))).lower()
    assert texts.count("zebrafish") > 20 < texts.count("quill")


def test_lists_are_long_and_without_repeats():
    assert len(set(lines("openers"))) == len(lines("openers")) >= 200
    assert len(set(lines("templates"))) == len(lines("templates")) >= 150
    for name, least in {"nouns": 500, "adjectives": 300, "verbs": 250, "topics": 150, "places": 200}.items():
        assert len(set(words(name))) == len(words(name)) >= least


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("cat", "cats"),
        ("box", "boxes"),
        ("city", "cities"),
        ("toy", "toys"),
        ("mouse", "mice"),
        ("sea lion", "sea lions"),
    ],
)
def test_plurals(one, many):
    assert plural(one) == many


@pytest.mark.parametrize(
    ("noun", "said"),
    [("apple", "an apple"), ("hour", "an hour"), ("uniform", "a uniform"), ("dog", "a dog"), ("11 year", "an 11 year")],
)
def test_articles(noun, said):
    assert article(noun) == said


def test_ordinals_in_figures():
    assert [suffixed(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th",
    ]  # fmt: skip


def test_sentences_of_an_answer_leave_bullets_and_the_cut_end_out():
    text = "Ask Dr. Miller first. Then:\n1. Go home early.\n- Sleep well!\nAnd do not"
    assert corpus.sentences(text) == ["Ask Dr. Miller first.", "Go home early.", "Sleep well!"]


def test_a_request_is_cut_to_one_or_two_sentences():
    assert (
        corpus.opening("I have a dog. What does it eat? I am not sure about it.") == "I have a dog. What does it eat?"
    )
    long = "I have a very big dog that is always hungry in the morning. What does it eat?"
    assert corpus.opening(long) == long.split(". ")[0] + "."
    assert corpus.opening("What is") == ""


@pytest.mark.parametrize(
    "text", ["Too few", "x" * 40 + " is a word here", "Call printf now please", "the the the the the"]
)
def test_what_cannot_be_spoken_is_left_out(text):
    assert not corpus.speakable(text, 3, 30)


def test_an_lm_of_noise_is_named():
    with pytest.raises(ModelError, match="nothing that can be spoken"):
        list(corpus.self_synthesised(tiny_text_lm(), 5, seed=0))


@pytest.mark.weights
def test_a_real_lm_makes_up_texts_that_can_be_made_again(weights, monkeypatch):
    from rba.lm.load import load_lm

    monkeypatch.setattr(corpus, "ROUND", 8)
    monkeypatch.setattr(corpus, "QUERY_TOKENS", 20)
    monkeypatch.setattr(corpus, "ANSWER_TOKENS", 20)
    lm = load_lm(weights("smollm2-135m-instruct"))
    rows = list(corpus.self_synthesised(lm, 5, seed=4))
    assert len({r["text"] for r in rows}) == 5
    assert all(corpus.speakable(r["text"], 3, 30) for r in rows)
    assert rows[0] == next(corpus.self_synthesised(lm, 1, seed=4))
    single, longer = pronounced_words(lm.tokenizer)
    assert len(single) > 10_000 and len(longer) > 50_000 and not set(single) & set(longer)
