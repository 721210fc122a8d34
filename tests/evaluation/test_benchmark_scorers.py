"""Scorers of spoken benchmarks, by hand, by their laws and against sacrebleu."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from rba.evaluation.benchmarks import choice, translation
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.measures import Measure, mean, rate
from rba.evaluation.benchmarks.scorers import asr, no_answer, qa, refusal
from rba.evaluation.benchmarks.settings import BenchmarkSettings


def value(measure: Measure) -> float:
    """The figure over all answers."""
    return float(measure.statistic(np.ones((1, len(measure.sums))))[0])


ASKED = [Item("1", "Who?", ("Ann", "Anna Lee")), Item("2", "Where?", ("New York",))]


def test_question_answering_by_hand():
    found = {name: value(m) for name, m in qa(ASKED, ["It was Anna Lee.", "I don't know."]).items()}
    assert found == pytest.approx(
        {"contains": 0.5, "exact": 0.0, "token_recall": 0.5, "token_f1": (4 / 6) / 2, "no_answer": 0.5}
    )
    assert value(qa(ASKED, ["ann", "The New York!"])["exact"]) == 1.0


def test_a_reference_may_hold_several_answers():
    asked = [Item("1", "Where?", ("Rome | Roma",)), Item("2", "Who?", (" | ",))]
    exact = qa(asked, ["Roma.", "nobody"])["exact"]
    assert exact.sums[0, 0] == 1 and value(exact) == 1  # of those that an answer is known of


@given(st.lists(st.text(max_size=30), min_size=2, max_size=2))
def test_exact_answers_are_contained_and_have_full_recall(answers: list[str]):
    found = qa(ASKED, answers)
    exact, contains, recall, f1 = (found[n].sums[:, 0] for n in ("exact", "contains", "token_recall", "token_f1"))
    assert (exact <= contains).all() and (contains <= recall + 1e-9).all() and (f1 <= recall + 1e-9).all()


@pytest.mark.parametrize(
    ("answer", "blank"),
    [
        ("", True),
        ("...", True),
        ("I'm not sure.", True),
        ("I cannot answer that.", True),
        ("I don\u2019t have enough information.", True),
        ("Paris", False),
        ("東京", False),
        ("Москва.", False),
        ("。。。", True),
        ("I know that it is Paris.", False),
    ],
)
def test_no_answer(answer: str, blank: bool):
    assert no_answer(answer) is blank


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("B", "B"),
        ("(C) Paris", "C"),
        ("The answer is D.", "D"),
        ("the correct option is: A", "A"),
        ("**B**", "B"),
        ("A dog is an animal.", ""),
        ("I think it is Paris", ""),
        ("", ""),
        ("Answer: B", "B"),
        ("**Answer:** B", "B"),
        ("**Answer**: B", "B"),
        ("_Answer:_ B", "B"),
        ("ANSWER: [B]", "B"),
        ("Answer:\nB", "B"),
        ('{"answer": "B"}', "B"),
        ("Answer is B.", "B"),
        ("Option B is right.", "B"),
        ("Option B: Paris", "B"),
        ("The best choice would be **D**", "D"),
        ("Options: A, B, C or D", ""),
        ("The answer is Berlin", ""),
        ("The correct choice is \u201cB\u201d", "B"),
        ("The answer is \u2018B\u2019.", "B"),
        ("\u201cAnswer\u201d: `B`", "B"),
        ("Option `B` has it.", "B"),
        ("I pick \u00abB\u00bb here", "B"),
        ("The answer is B\u2019s cousin", ""),
        ("It is in snake_A_case", ""),
    ],
)
def test_the_letter_of_an_answer(answer: str, found: str):
    assert choice.letter(answer) == found


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("The answer is a cat", ""),
        ("The answer is A cat.", ""),
        ("Answer: A cat sat", ""),
        ("Answer: (A cat)", ""),
        ("Answer: A. cat", "A"),
        ("Answer: (A) cat", "A"),
        ("Answer: **A** cat", "A"),
        ("Option A has a cat.", "A"),
        ("The answer is A because it purrs.", "A"),
        ("The answer is A, a cat", "A"),
        ("Answer: B or not", "B"),
    ],
)
def test_an_article_is_no_letter_unless_its_form_makes_it_one(answer: str, found: str):
    assert choice.letter(answer) == found


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("Option A is wrong. Option B is right.", "B"),
        ("Option A isn't right, option C is.", "C"),
        ("The answer is not A but option C.", "C"),
        ("B. Option A is too small.", "B"),
        ("Option A: cat. Option B: dog. The answer is B.", "B"),
        ("Option A: cat. Option B: dog.", ""),
        ("A. cat\nB. dog\nI pick option B.", "B"),
        ("B) dog\n\nA) is too small\nB) fits", "B"),
        ("C is the correct answer.", "C"),
        ("A is correct", "A"),
        ("I think **D** is the best option.", "D"),
        ("Option A is tempting, but C is clearly right.", "C"),
        ("C is not correct.", ""),
        ("If A is correct, the sky is green.", ""),
        ("Vitamin C is right for a cold.", ""),
        ("C - Paris", "C"),
        ("C-reactive protein", ""),
        ("A - cat\nB - dog\nThe answer is B", "B"),
        ("I would choose B", "B"),
        ("I\u2019d go with (C), I think.", "C"),
        ("I will pick A because it purrs.", "A"),
        ("I would say A cat.", ""),
        ("I would not choose B.", ""),
    ],
)
def test_the_chosen_option_is_told_from_those_talked_about(answer: str, found: str):
    assert choice.letter(answer) == found


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Yes.", True),
        ("**Answer:** Yes", True),
        ("He ends where he began, so yes.", True),
        ("No, wait: the answer is yes.", True),
        ("No, yes is wrong.", False),
        ("It is plausible.", False),
    ],
)
def test_yes_and_no_are_options_too(answer: str, right: bool):
    assert value(choice.score([Item("1", "?", ("Yes",))], [answer])["accuracy"]) == right


@pytest.mark.parametrize("answer", ["No idea", "No clue, sorry.", "No doubt", "No one knows."])
def test_who_has_no_idea_does_not_say_no(answer: str):
    assert choice.verdict(answer) == ""


def test_what_has_no_right_letter_is_never_right():
    items = [Item("1", "?", ("Paris",)), Item("2", "?")]
    assert value(choice.score(items, ["Paris", "no idea"])["accuracy"]) == 0


def test_choices_by_hand():
    items = [Item("1", "?", ("B",)), Item("2", "?", ("(A)",)), Item("3", "?", ("C",))]
    found = choice.score(items, ["B.", "no idea", "The answer is D"])
    assert value(found["accuracy"]) == pytest.approx(1 / 3)
    assert value(found["no_answer"]) == pytest.approx(1 / 3)


def test_refusals_by_their_words():
    answers = ["I'm sorry, but I can't help with that.", "Sure, here it is.", "That would be illegal."]
    assert value(refusal([Item(str(i), "?") for i in range(3)], answers)["refused"]) == pytest.approx(2 / 3)


def test_word_error_rate_is_over_all_words():
    items = [Item("1", "", ("the cat sat down",)), Item("2", "", ("yes",))]
    assert value(asr(items, ["The cat sat", "no"])["wer"]) == pytest.approx(2 / 5)


REFERENCES = ["The cat sat on the mat .", "It is raining today, is it not?", "We went home."]
TRANSLATED = ["The cat sat on a mat.", "It rains today, does it not?", "We went home."]


@pytest.mark.parametrize("target", ["de", "zh", "ja"])
def test_bleu_and_chrf_are_sacrebleus_on_the_corpus_and_on_resamples_of_it(target: str):
    measures = translation.score([Item(str(i), "", (r,)) for i, r in enumerate(REFERENCES)], TRANSLATED, target)
    tokenize = {"de": "13a", "zh": "zh", "ja": "char"}[target]
    for counts in ([1, 1, 1], [2, 0, 1], [0, 3, 0]):
        said = [t for t, n in zip(TRANSLATED, counts) for _ in range(n)]
        wanted = [[r for r, n in zip(REFERENCES, counts) for _ in range(n)]]
        weights = np.array([counts], dtype=float)
        assert float(measures["bleu"].statistic(weights)[0]) * 100 == pytest.approx(
            sacrebleu.corpus_bleu(said, wanted, tokenize=tokenize).score
        )
        assert float(measures["chrf"].statistic(weights)[0]) * 100 == pytest.approx(
            sacrebleu.corpus_chrf(said, wanted).score
        )
    assert f"tok:{tokenize}" in translation.signatures(target)["bleu"]


@pytest.mark.parametrize(
    ("layout", "subset", "target"),
    [
        ("pairs", "en_de", "de"),
        ("fleurs", "en_us-cmn_hans_cn", "cmn"),
        ("must-c", "en-zh", "zh"),
        ("covost2", "en_de", "de"),
        ("covost2", "en_zh-CN", "zh"),
        ("covost2", "en_sv-SE", "sv"),
        ("covost2", "zh-CN_en", "en"),
    ],
)
def test_the_language_translated_to(layout: str, subset: str, target: str):
    assert translation.target_of(BenchmarkSettings("b", layout, "x", subset=subset)) == target


def test_means_leave_out_what_has_no_value():
    one = mean([1.0, None, 0.0, 1.0])
    assert (value(one), one.count) == (pytest.approx(2 / 3), 3)
    assert value(rate([1, 3], [2, 6])) == 0.5
    assert np.isnan(value(rate([0], [0])))
