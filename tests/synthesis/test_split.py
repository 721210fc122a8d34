"""Splits are fixed per instruction before speech, hold their quotas, and near relatives never sit in two of them."""

from __future__ import annotations

import numpy as np
import pytest

from rba.synthesis.duplicates import KeptTexts
from rba.synthesis.split import NEAR_FULL, NEAR_TWO, SURPLUS, Splitter

QUOTAS = {"test": 20, "validation": 10, "train": 70}


def far(i: int) -> np.ndarray:
    """A vector at a right angle to all others."""
    return np.eye(128, dtype=np.float32)[i]


def test_quotas_are_met_exactly_and_the_rest_is_surplus():
    splitter = Splitter(QUOTAS, 0.15, seed=0)
    placed = [splitter.place(f"item{i}", far(0), KeptTexts()) for i in range(101)]
    counts = {name: sum(split == name for split, _ in placed) for name in QUOTAS}
    assert counts == QUOTAS
    assert splitter.done
    assert placed[-1] == ("", SURPLUS)


def test_while_all_have_room_the_split_depends_on_the_id_alone():
    first, second = Splitter(QUOTAS, 0.15, seed=0), Splitter(QUOTAS, 0.15, seed=0)
    second.place("another", far(0), KeptTexts())
    names = [f"item{i}" for i in range(8)]
    forwards = {n: first.place(n, far(0), KeptTexts())[0] for n in names}
    assert forwards == {n: second.place(n, far(0), KeptTexts())[0] for n in reversed(names)}


def test_another_seed_gives_other_splits():
    one, two = Splitter(QUOTAS, 0.15, 0), Splitter(QUOTAS, 0.15, 1)
    names = [f"item{i}" for i in range(40)]
    assert [one.place(n, far(0), KeptTexts()) for n in names] != [two.place(n, far(0), KeptTexts()) for n in names]


def test_a_relative_follows_into_the_split():
    kept = KeptTexts()
    kept.add("a", far(1), "test")
    splitter = Splitter(QUOTAS, 0.15, 0)
    near = far(1) + 0.3 * far(2)
    near /= np.linalg.norm(near)
    assert {splitter.place(f"item{i}", near, kept)[0] for i in range(20)} == {"test"}
    assert splitter.place("item20", near, kept) == ("", NEAR_FULL)


def test_a_relative_of_two_splits_is_dropped():
    kept = KeptTexts()
    kept.add("a", far(1), "test")
    kept.add("b", far(2), "train")
    middle = (far(1) + far(2)) / np.sqrt(2)
    assert Splitter(QUOTAS, 0.4, 0).place("item", middle, kept) == ("", NEAR_TWO)


def test_places_taken_before_a_restart_count():
    splitter = Splitter({"test": 1, "validation": 0, "train": 1}, 0.15, 0)
    splitter.take("train")
    assert splitter.place("item", far(0), KeptTexts()) == ("test", "")
    assert splitter.done


@pytest.mark.parametrize("name", QUOTAS)
def test_a_split_of_nothing_stays_empty(name):
    splitter = Splitter({**QUOTAS, name: 0}, 0.15, 0)
    assert name not in {splitter.place(f"item{i}", far(0), KeptTexts())[0] for i in range(40)}
