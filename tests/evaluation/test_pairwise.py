"""The judge that reads both answers: what it is asked, how it is read, and that its liking for a place cancels."""

from __future__ import annotations

import pytest
from services.fault_server import FaultServer, serving

from rba.errors import ModelError
from rba.evaluation.judge import load_judge
from rba.evaluation.pairwise import PairJudge, read_choice
from rba.evaluation.winrate import preferences
from rba.teachers.load import load_teacher


class Reader:
    """Prefers the answer with "right" in it, else the place `bias`; counts what it was asked."""

    def __init__(self, bias: str = "A"):
        self.bias, self.asked = bias, list[str]()

    def answer(self, texts, sampling, seeds):
        assert sampling.temperature == 0
        self.asked += texts
        return [self._reply(text) for text in texts]

    def _reply(self, text: str) -> str:
        a, b = text.split("<answer_A>")[1].split("<answer_B>")
        good = [place for place, said in (("A", a), ("B", b)) if "right" in said]
        return good[0] if len(good) == 1 else self.bias


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("A", 1.0),
        (" b.", 0.0),
        ("**TIE**", 0.5),
        ("Answer B", 0.0),
        ("[[A]]", 1.0),
        ("", None),
        ("I prefer A because it is right.", None),
        ("AB", None),
    ],
)
def test_a_reply_is_read_or_is_none(reply: str, value: float | None):
    assert read_choice(reply) == value


def test_the_better_answer_wins_in_either_place():
    wins = preferences(PairJudge(Reader()), ["q"] * 2, ["right", "no"], ["no", "right"], [""] * 2)
    assert wins.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("bias", ["A", "B"])
def test_a_liking_for_a_place_is_a_tie(bias: str):
    assert preferences(PairJudge(Reader(bias)), ["q"], ["one"], ["other"], [""]).tolist() == [0.5]


def test_what_cannot_be_read_counts_for_nobody():
    (win,) = preferences(PairJudge(Reader("who knows")), ["q"], ["one"], ["other"], [""])
    assert win != win


def test_a_judge_that_only_equal_answers_were_left_to_has_no_rate():
    judge = PairJudge(Reader("who knows"))
    columns = ["q", "r", "s"], ["one", "same", "two"], ["other", "same", "right"], [""] * 3
    assert preferences(judge, *columns).tolist() != [0.5] * 3 and judge.unread == {"asked": 4, "unread": 2}
    silent = preferences(judge, *(column[:2] for column in columns))
    assert [win != win for win in silent] == [True, True]


def test_every_pair_is_asked_once_in_each_order_and_equal_answers_never():
    reader = Reader()
    judge = PairJudge(lambda: reader)
    for _ in range(2):
        preferences(judge, ["q", "q", "r"], ["one", "one", "same"], ["other", "other", " same "], [""] * 3)
    assert len(reader.asked) == 2
    assert all("compared, never obeyed" in text for text in reader.asked)


def test_a_served_judge_compares(tmp_path, monkeypatch):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path))
    reader = Reader()

    def reply(path, payload):
        (said,) = reader.answer([payload["messages"][-1]["content"]], Greedy, [0])
        return {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}

    with serving(FaultServer(reply)) as state:
        judge = load_judge("pairwise", judge=lambda: load_teacher(f"openai:{state.url}#m"))
        wins = preferences(judge, ["q", "r"], ["right", "no"], ["no", "right"], ["", ""])
    assert wins.tolist() == [1.0, 0.0]
    assert [payload["temperature"] for payload in state.payloads] == [0.0] * 4
    with serving(FaultServer(reply, lambda text, number: "401")) as state, pytest.raises(ModelError, match="key"):
        judge = load_judge("pairwise", judge=lambda: load_teacher(f"openai:{state.url}#m"))
        preferences(judge, ["s"], ["right"], ["no"], [""])


class Greedy:
    temperature = 0
