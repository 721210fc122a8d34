"""Similarity and likelihood on stand-ins whose values are known."""

import numpy as np
import pytest

from rba.rewards.likelihood import Likelihood
from rba.rewards.similarity import Similarity, unit_embeddings


class PlaneEmbedder:
    """Angles on a circle as embeddings; counts what it was asked."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += list(texts)
        angle = np.radians([float(t) for t in texts])
        return 3 * np.stack([np.cos(angle), np.sin(angle)], -1)


class LengthTeacher:
    """Every character costs half a nat; a token is a character."""

    def log_likelihood(self, texts, responses):
        return [(-0.5 * len(r), len(r)) for r in responses]


def test_similarity_is_the_cosine_whatever_the_length_of_the_vectors():
    values = Similarity(PlaneEmbedder())(["q"] * 3, ["0", "60", "180"], reference=["0"] * 3)
    assert values == pytest.approx([1, 0.5, -1])


def test_a_blank_answer_has_no_similarity_and_a_blank_reference_gives_no_value():
    assert Similarity(PlaneEmbedder())(["q"] * 2, ["  ", "0"], reference=["0", ""]) == [0.0, None]
    assert Similarity(PlaneEmbedder())(["q"], [""], reference=[""]) == [None]


def test_equal_texts_are_embedded_once():
    embedder = PlaneEmbedder()
    vectors = unit_embeddings(embedder, ["0", "90", "0", " 90 "])
    assert sorted(embedder.asked) == ["0", "90"]
    assert vectors == pytest.approx(np.array([[1, 0], [0, 1], [1, 0], [0, 1]]))


def test_likelihood_is_per_token_or_per_answer_and_none_for_silence():
    answers = ["ab", "abcd", ""]
    assert Likelihood(LengthTeacher())(["q"] * 3, answers) == [-0.5, -0.5, None]
    assert Likelihood(LengthTeacher(), "sum")(["q"] * 3, answers) == [-1.0, -2.0, None]
    assert Likelihood(LengthTeacher())(["q"], [" "]) == [None]


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="mean, sum"):
        Likelihood(LengthTeacher(), "max")
