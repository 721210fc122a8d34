"""Figures of the run's own test by topic and difficulty."""

from __future__ import annotations

from dataclasses import replace

from evaluation.stand_ins import Log, WordEmbedder
from rba.data.utterance import Utterance
from rba.evaluation.answers import READ, Answer
from rba.evaluation.cells import lay_out
from rba.evaluation.settings import EvaluateSettings
from rba.evaluation.stage import measure
from rba.evaluation.topics import topics
from rba.testing.tiny_utterances import tiny_utterances

ONE = tiny_utterances(1, 1, "test")[0]


def asked(count: int, topic: str, difficulty: str = "easy") -> list[Utterance]:
    ids = [f"{topic}{difficulty}{i}" for i in range(count)]
    tags = {"topic": topic, "difficulty": difficulty, "response": "a red apple"}
    return [replace(ONE, id=f"{i}-{v}", instruction_id=i, voice=v, **tags) for i in ids for v in range(2)]


def test_a_topic_needs_enough_instructions_and_must_leave_some_out():
    found = topics([*asked(8, "Planning"), *asked(7, "Others"), *asked(9, "", "")])
    assert {name: int(mask.sum()) for name, mask in found.items()} == {"topic:Planning": 16, "difficulty:easy": 30}
    assert topics(asked(20, "Planning")) == {}


def test_requests_without_tags_are_in_no_topic():
    assert topics(asked(20, "", "")) == {}


def test_each_topic_has_agreement_differences_and_win_rates_of_its_own():
    rows = [*asked(9, "Planning"), *asked(10, "Others")]
    good = {"base": "nothing", "sft": "a red apple"}
    answers = [
        Answer(model, u.id, u.instruction_id, u.voice, said if u.topic == "Planning" else "a red", 5, True, None)
        for u in rows
        for model, said in good.items()
    ]
    answers += [replace(a, model="teacher", utterance_id="", voice=READ) for a in answers if a.model == "sft"]
    answers += [replace(a, model="teacher-again") for a in answers if a.model == "teacher"][:6]
    made = measure(lay_out(rows, answers, {}), EvaluateSettings(resamples=100), 0, Log().loaders(), WordEmbedder())
    found = {(r.condition, r.model, r.metric, r.against): r for r in made if r.condition != "all"}
    assert {r.benchmark for r in found.values()} == {"heldout"}
    assert {r[0] for r in found} == {"topic:Planning", "topic:Others"}
    assert {r[2] for r in found} == {
        *(f"{gain}{name}" for gain in ("", "delta_") for name in ("recall", "f1", "similarity")),
        *(f"{kind}:{judge}" for kind in ("win_rate", "lc_win_rate", "ties") for judge in ("recall", "similarity")),
    }
    assert found["topic:Planning", "sft", "recall", ""].value == 1
    assert found["topic:Planning", "sft", "recall", ""].n == 9
    assert found["topic:Planning", "sft", "win_rate:recall", "base"].value == 1
    assert found["topic:Others", "sft", "win_rate:recall", "base"].value == 0.5
    assert found["topic:Others", "sft", "delta_recall", "base"].value == 0
    assert {r.n for r in found.values()} == {9, 10}  # the teacher's second answers to six are too few
