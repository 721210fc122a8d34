"""Judges and win rates: sides, ties, blanks, batches; and what the judges are known to get right and wrong."""

import math

import numpy as np
import pytest

from rba.errors import RecipeError
from rba.evaluation import judge_accuracy
from rba.evaluation.judge import ScoreJudge, load_judge
from rba.evaluation.judge_accuracy import judge_items, measure_judges, wilson
from rba.evaluation.winrate import preferences
from rba.rewards.reward import load_reward

REFERENCE = "The capital of Australia is Canberra."
GOOD, BAD, BLANK = "Canberra is the capital.", "I like trains.", ""


class FirstJudge:
    """Always for the answer that is shown first: a judge with nothing but a position bias."""

    name, needs_reference = "first", False

    def prepare(self, texts, answers_a, answers_b, references):
        self.prepared = len(answers_a)

    def prefer(self, text, answer_a, answer_b, reference):
        return 1.0


class CountingReward:
    """The length of an answer, and how often it was asked."""

    name = "length"

    def __init__(self):
        self.calls = []

    def __call__(self, prompts, completions, completion_ids=None, *, reference, **columns):
        self.calls.append(len(completions))
        return [float(len(c)) if c else None for c in completions]


def test_the_better_answer_wins_whichever_side_it_is_on():
    judge = load_judge("recall")
    assert judge.prefer("q", GOOD, BAD, REFERENCE) == 1
    assert judge.prefer("q", BAD, GOOD, REFERENCE) == 0
    assert judge.prefer("q", BAD, "Trains, trains.", REFERENCE) == 0.5


def test_swapping_the_sides_gives_the_complement():
    columns = (["q"] * 3, [GOOD, BAD, GOOD], [BAD, GOOD, GOOD], [REFERENCE] * 3)
    there = preferences(load_judge("recall"), *columns)
    back = preferences(load_judge("recall"), columns[0], columns[2], columns[1], columns[3])
    assert there.tolist() == [1, 0, 0.5]
    assert (there == 1 - back).all()


def test_both_orders_cancel_a_position_bias():
    assert preferences(FirstJudge(), ["q"], [GOOD], [BAD], [REFERENCE]).tolist() == [0.5]


def test_equal_answers_tie_even_where_the_judge_has_no_score():
    judge = ScoreJudge(CountingReward())
    assert preferences(judge, ["q"] * 2, [BLANK, GOOD], [" ", GOOD], [REFERENCE] * 2).tolist() == [0.5, 0.5]


def test_an_answer_without_score_is_no_win_and_no_loss():
    found = preferences(ScoreJudge(CountingReward()), ["q"], [BLANK], [GOOD], [REFERENCE])
    assert np.isnan(found).all()


def test_all_answers_are_scored_in_one_batch_and_only_once():
    reward = CountingReward()
    judge = ScoreJudge(reward, needs_reference=False)
    preferences(judge, ["q", "r"], ["a", "bb"], ["ccc", "dd"], ["x", "y"])
    preferences(judge, ["q", "r"], ["a", "bb"], ["ccc", "eeee"], ["x", "z"])
    assert reward.calls == [4, 1]


def test_an_unknown_judge_is_refused():
    with pytest.raises(RecipeError, match="recall"):
        load_judge("oracle")


def test_wilsons_interval_is_the_textbook_one():
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0, 8)[0] == 0
    assert wilson(8, 8)[1] == pytest.approx(1)


def test_the_items_are_whole_and_cover_every_fault():
    items = judge_items()
    kinds = [item.kind for item in items]
    assert len(items) >= 40
    assert {kinds.count(kind) for kind in kinds} == {8}
    assert len(set(kinds)) == 6
    assert len({item.question for item in items}) == len(items)
    assert all(item.good != item.bad and item.reference not in (item.good, item.bad) for item in items)


def test_the_recall_judge_sees_every_fault_but_a_wrong_fact():
    (everything, *by_kind) = measure_judges([load_judge("recall")])
    accuracy = {row.kind: row.accuracy for row in by_kind}
    assert accuracy.pop("wrong fact") < 0.5
    assert set(accuracy.values()) == {1.0}
    assert everything.accuracy == pytest.approx(42.5 / 48)
    assert everything.low < everything.accuracy < everything.high


def test_an_answer_longer_than_the_truth_does_not_fool_the_default_judge():
    plain = ScoreJudge(CountingReward())
    assert measure_judges([plain])[0].accuracy < 0.6 < measure_judges([load_judge("recall")])[0].accuracy


def test_a_judge_that_cannot_say_is_wrong():
    class Mute(FirstJudge):
        def prefer(self, *parts):
            return None

    assert measure_judges([Mute()])[0].accuracy == 0


def test_the_command_prints_each_judge(capsys):
    judge_accuracy.main(["recall"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[0].split()[:2] == ["recall", "all"]


@pytest.mark.weights
def test_the_similarity_judge_is_worse_than_recall_and_far_better_than_chance(weights):
    from rba.lm.embedder import SentenceEmbedder

    row = measure_judges([load_judge("similarity", embedder=SentenceEmbedder(weights("all-minilm-l6-v2")))])[0]
    assert 0.7 <= row.accuracy <= 0.85


def test_rewards_with_a_penalty_can_judge_too():
    judge = ScoreJudge(load_reward("recall - deaf"))
    assert judge.prefer("q", "Canberra.", "I didn't hear you, but Canberra is the capital.", REFERENCE) == 1
    assert not math.isnan(judge.prefer("q", BLANK, GOOD, REFERENCE))
