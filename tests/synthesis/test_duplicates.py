"""Duplicates: the same words, or nearly the same meaning, as something kept before."""

from __future__ import annotations

import numpy as np
import pytest

from rba.synthesis.duplicates import KeptTexts, normalised, why_duplicate


def unit(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


@pytest.fixture
def kept() -> KeptTexts:
    texts = KeptTexts()
    texts.add("What's a café?", unit(0), "train")
    texts.add("Why do cats purr?", unit(90), "test")
    return texts


def test_case_punctuation_and_accents_do_not_make_a_new_request(kept):
    assert normalised("What's a Café?!") == "whats a cafe"
    assert why_duplicate("whats a cafe", unit(45), kept, 0.05) == "exact duplicate"


def test_a_near_duplicate_is_one_within_the_cosine_distance(kept):
    inside, outside = np.degrees(np.arccos(1 - 0.049)), np.degrees(np.arccos(1 - 0.051))
    assert why_duplicate("Tell me what a café is.", unit(inside), kept, 0.05) == "near duplicate"
    assert why_duplicate("Tell me what a café is.", unit(outside), kept, 0.05) == ""


def test_nothing_is_a_duplicate_of_nothing():
    assert why_duplicate("What is tea?", unit(3), KeptTexts(), 0.05) == ""


def test_labels_of_relatives_are_found(kept):
    assert kept.labels_within(unit(10), 0.15) == {"train"}
    assert kept.labels_within(unit(45), 0.5) == {"train", "test"}
    assert kept.labels_within(unit(45), 0.1) == set()


def test_the_store_grows_and_keeps_every_vector():
    texts = KeptTexts()
    for i in range(2500):
        texts.add(f"request {i}", unit(i / 10), str(i))
    distances = texts.distances(unit(123.4))
    assert len(distances) == 2500
    assert texts.labels[int(distances.argmin())] == "1234"
