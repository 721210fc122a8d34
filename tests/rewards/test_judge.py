"""Judges: marks read from replies, marks expected from likelihoods."""

import math

import pytest

from rba.rewards.judge import LikelihoodJudge, WrittenJudge, expected_mark, read_mark
from rba.rewards.reward import load_reward
from rba.teachers.local import LocalTeacher
from rba.testing.tiny_lm import tiny_text_lm


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ("8", 8),
        (" 10. ", 10),
        ("8/10", 8),
        ("10/10", 10),
        ("Score: 7", 7),
        ("The rating is 7 out of 10.", 7),
        ("**9**", 9),
        ("7.5", 7.5),
        ("On a scale of 1 to 10, I would say 6.", 6),
        ("I grade it 4/10 because it is wrong.", 4),
        ("- 8", 8),
        ("0", None),
        ("-3", None),
        ("Score: -3", None),
        ("I would give it -3.", None),
        ("6-8", None),
        ("11", None),
        ("", None),
        ("good", None),
        ("between 6 and 8", None),
        ("It names 3 cities, so 5", None),
    ],
)
def test_a_mark_is_read_only_where_it_is_plain(reply, mark):
    assert read_mark(reply) == mark


class Pen:
    """A judge that writes the number of characters of the answer it is shown."""

    def __init__(self):
        self.asked = []

    def answer(self, texts, sampling, seeds):
        assert sampling.temperature == 0 and len(texts) == len(seeds)
        self.asked += texts
        return [str(len(t.split("<answer>\n")[1].split("\n</answer>")[0])) for t in texts]


def test_the_written_mark_is_of_request_and_answer_and_nonsense_is_none():
    pen = Pen()
    reward = load_reward("judge", judge=lambda: pen)
    assert reward(["Say {hi}."] * 4, ["hello", "hi", "x" * 20, "hi"], reference=[""] * 4) == [5, 2, None, 2]
    assert reward.dropped == {"judge: no value": 1}
    assert len(pen.asked) == 3 and all("Say {hi}." in text for text in pen.asked)


def test_the_expected_mark_is_the_mean_of_the_normalised_likelihoods():
    logp = [-10.0 + (mark == 9) * 9 + (mark == 7) * 9 for mark in range(1, 11)]
    weights = [math.exp(v) for v in logp]
    assert expected_mark(logp) == pytest.approx(sum(m * w for m, w in enumerate(weights, 1)) / sum(weights))
    assert expected_mark([-2000.0] * 10) == pytest.approx(5.5)
    assert expected_mark([-math.inf] * 10) is None


def test_a_local_model_gives_a_mark_by_its_likelihoods_whatever_stands_beside():
    teacher = LocalTeacher(tiny_text_lm())
    judge = LikelihoodJudge(teacher)
    answers = ["Canberra.", "I think that it is the city of Sydney.", "No."]
    together = judge(["Capital of Australia?"] * 3, answers)
    alone = [judge(["Capital of Australia?"], [answer])[0] for answer in answers]
    assert all(1 <= mark <= 10 for mark in together)
    assert together == pytest.approx(alone, abs=1e-4)
    assert judge(["Capital of Australia?"] * 3, answers[::-1]) == together[::-1]


def test_a_local_model_can_write_its_mark():
    values = WrittenJudge(LocalTeacher(tiny_text_lm()))(["Hello?"], ["Hi."])
    assert len(values) == 1 and (values[0] is None or 1 <= values[0] <= 10)
