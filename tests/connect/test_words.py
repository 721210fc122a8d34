"""The texts of words that the connector's other texts leave out."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from rba.connect.lexicon import inflected
from rba.data import seeds

SCRIPT = Path(__file__).parents[2] / "recipes" / "connector" / "words.py"


@pytest.fixture(scope="module")
def words():
    spec = importlib.util.spec_from_file_location("words_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("word", ["players", "stopped", "hoping", "carried", "boxes", "teachers", "slowly"])
def test_words_with_an_ending_are_known_by_their_stem(word):
    assert inflected(word, {"play", "stop", "hope", "carry", "box", "teach", "slow"})


@pytest.mark.parametrize("word", ["play", "ing", "xyzzed", "s"])
def test_other_words_are_not(word):
    assert not inflected(word, {"play", "hope"})


class Pieces:
    """A tokenizer of six tokens."""

    pieces = ("Ġelephants", "Ġthe", "Ġof", "elephant", "Ġqqqqq", "ĠFrance")

    def __len__(self):
        return len(self.pieces)

    def convert_ids_to_tokens(self, ids):
        return [self.pieces[i] for i in ids]


def test_whole_words_that_were_seldom_seen_lack_uses(words):
    assert words.lacking(Pieces(), Counter({0: 3, 1: 20}), 20) == [("elephants", 17), ("France", 20)]


def test_frequent_words_get_their_uses_first(words):
    uses = words.rounds([("first", 3), ("second", 3), ("third", 3)], 5, seeds.rng(0))
    assert Counter(uses) == {"first": 3, "second": 2}


def test_a_text_holds_its_words_in_order(words):
    text = words.sentence(["one", "two", "three"], seeds.rng(1))
    places = [text.index(w) for w in ("one", "two", "three")]
    assert places == sorted(places) and text[0].isupper() and text[-1] in ".?"
