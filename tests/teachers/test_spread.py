"""A teacher in several workers writes what it writes in one process: the batches are the same."""

from __future__ import annotations

from itertools import cycle

import pytest

from rba.lm.load import load_lm
from rba.lm.sampling import Sampling
from rba.teachers.batches import Batches
from rba.teachers.local import LocalTeacher
from rba.teachers.spread import SpreadTeacher, hold
from rba.testing.tiny_lm import save_tiny_lm

SAMPLING = Sampling(1.0, 0.95, 10)
TEXTS = ["Name a fruit.", "Why?", "Play some jazz and tell me a joke.", "Go.", "What is tea?", "Sing.", "Name a fruit."]
SEEDS = [5, 3, 9, 1, 8, 8, 5]


class Here:
    """A pool of two workers in this process; it keeps the sizes of the batches that it is given."""

    def __init__(self, make):
        self.workers = cycle([make(), make()])
        self.sizes: list[int] = []

    def map(self, calls):
        for call in calls:
            self.sizes.append(len(call.arguments[0]))
            yield next(self.workers)(call)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory) -> tuple[LocalTeacher, SpreadTeacher]:
    folder = str(save_tiny_lm(tmp_path_factory.mktemp("teacher")))
    alone = LocalTeacher(load_lm(folder), batch_size=3, system="Be brief.")
    pool = Here(lambda: hold(folder, 3))
    return alone, SpreadTeacher(folder, Batches(alone.lm.tokenizer, "Be brief.", 3), pool)


@pytest.mark.parametrize("openers", [None, ["How do I", "", "Why", "", "", "Is", "How do I"]])
def test_requests_are_the_same(teachers, openers):
    alone, spread = teachers
    written = spread.sample_queries(SEEDS, "You help cooks.", SAMPLING, openers)
    assert written == alone.sample_queries(SEEDS, "You help cooks.", SAMPLING, openers)
    assert spread.pool.sizes[-3:] == [3, 3, 1]


def test_answers_are_the_same(teachers):
    alone, spread = teachers
    assert spread.replies(TEXTS, SAMPLING, SEEDS) == alone.replies(TEXTS, SAMPLING, SEEDS)
    assert spread.answer(TEXTS, SAMPLING, SEEDS) == alone.answer(TEXTS, SAMPLING, SEEDS)
    assert spread.pool.sizes[-3:] == [3, 3, 1]


def test_likelihoods_are_the_same(teachers):
    alone, spread = teachers
    texts, answers = TEXTS * 6, [text[::-1] for text in TEXTS] * 6
    assert spread.log_likelihood(texts, answers) == alone.log_likelihood(texts, answers)
    assert spread.pool.sizes[-2:] == [32, 10]


def test_nothing_to_do_is_nothing_done(teachers):
    assert teachers[1].replies([], SAMPLING, []) == []


def test_told_otherwise_the_same_workers_answer_otherwise(teachers):
    alone, spread = (teacher.told("Sing it.") for teacher in teachers)
    assert spread.pool is teachers[1].pool and spread.system == "Sing it."
    assert spread.log_likelihood(TEXTS, TEXTS) == alone.log_likelihood(TEXTS, TEXTS)
    assert spread.log_likelihood(TEXTS, TEXTS) != teachers[1].log_likelihood(TEXTS, TEXTS)
    assert spread.replies(TEXTS, SAMPLING, SEEDS) == alone.replies(TEXTS, SAMPLING, SEEDS)
