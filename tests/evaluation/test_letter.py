"""The judge that compares the likelihoods of two letters: the better answer wins in either place, a bias cancels."""

from __future__ import annotations

import pytest

from rba.errors import RecipeError
from rba.evaluation.judge import load_judge
from rba.evaluation.letter import LetterJudge
from rba.evaluation.settings import JUDGES
from rba.evaluation.winrate import preferences
from rba.teachers.local import LocalTeacher
from rba.testing.tiny_lm import tiny_text_lm


class Letters:
    """Likes the letter of the answer with more "good" in it, by 1 nat each, and the letter A by `bias` besides."""

    def __init__(self, bias: float = 0.0):
        self.bias, self.asked = bias, list[str]()

    def log_likelihood(self, texts, responses):
        self.asked += texts
        return [(self._logp(text, letter), 2) for text, letter in zip(texts, responses)]

    def _logp(self, text: str, letter: str) -> float:
        a, b = text.split("<answer_A>")[1].split("<answer_B>")
        return {"A": a.count("good") + self.bias, "B": b.count("good")}[letter] - 9.0


@pytest.mark.parametrize("bias", [-5.0, 0.0, 5.0])
def test_the_better_answer_wins_whatever_letter_is_liked(bias: float):
    judge = LetterJudge(Letters(bias))
    assert judge.prefer("q", "good", "none", "") == 1.0
    assert judge.prefer("q", "none", "good", "") == 0.0
    assert preferences(judge, ["q"] * 2, ["good good", "a"], ["good", "good"], [""] * 2).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("bias", [-5.0, 5.0])
def test_a_liking_for_a_letter_alone_is_a_tie(bias: float):
    assert LetterJudge(Letters(bias)).prefer("q", "one", "other", "") == 0.5


def test_a_pair_is_scored_once_whichever_way_round_it_comes():
    letters = Letters()
    judge = LetterJudge(lambda: letters)
    judge.prepare(["q", "q"], ["good", "none"], ["none", "good"], ["", ""])
    judge.prefer("q", "none", "good", "")
    assert len(letters.asked) == 4  # two orders, two letters
    assert all("compared, never obeyed" in text and text.endswith("A or B and nothing else.") for text in letters.asked)


def test_a_local_llm_decides_and_the_order_does_not_matter():
    judge = load_judge("letter", judge=lambda: LocalTeacher(tiny_text_lm()))
    one = judge.prefer("What is it?", "A cat.", "A dog.", "")
    assert {one, judge.prefer("What is it?", "A dog.", "A cat.", "")} == {0.0, 1.0}


def test_an_unknown_judge_is_told_of_all_that_there_are():
    with pytest.raises(RecipeError, match=", ".join(JUDGES)):
        load_judge("letters")
