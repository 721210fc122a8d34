"""Verdicts on disk: a stopped evaluation asks its judge only about what is left, and ends with the same file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rba.errors import WorkspaceError
from rba.evaluation import reading
from rba.evaluation.judge import load_judge
from rba.evaluation.verdicts import Verdicts
from rba.files import fingerprint
from rba.lm.task import TaskSettings

PAIRS = [(f"question {i}", f"one {'x' * i}", "other") for i in range(10)]


class Lengths:
    """Likes long answers; is gone after `most` questions."""

    def __init__(self, most: int = 10**6):
        self.left, self.asked = most, list[str]()

    def _ask(self, texts):
        self.left -= len(texts)
        if self.left < 0:
            raise KeyboardInterrupt
        self.asked += texts

    @staticmethod
    def _lengths(text: str) -> dict[str, int]:
        return {letter: len(text.split(f"<answer_{letter}>")[1].split(f"</answer_{letter}>")[0]) for letter in "AB"}

    def log_likelihood(self, texts, responses):
        self._ask(texts)
        return [(self._lengths(text)[letter] / 7, 2) for text, letter in zip(texts, responses)]

    def answer(self, texts, sampling, seeds):
        self._ask(texts)
        return [max("AB", key=self._lengths(text).__getitem__) for text in texts]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH", 3)


def asked(name: str, llm: Lengths, kept: Path | None, mark: str = "llm", task: str = "") -> list[float | None]:
    judge = load_judge(name, judge=llm, kept=kept, mark=mark, task=TaskSettings(task))
    judge.prepare(*zip(*PAIRS), [""] * len(PAIRS))
    return [judge.prefer(*pair, "") for pair in PAIRS]


@pytest.mark.parametrize("name", ["letter", "pairwise"])
def test_a_stopped_judge_goes_on_where_it_was(name: str, tmp_path: Path):
    whole, wanted = Lengths(), asked(name, Lengths(), None)
    assert asked(name, whole, tmp_path / "whole") == wanted and {0.0, 1.0} <= set(wanted)
    cut = Lengths(len(whole.asked) * 2 // 3)
    with pytest.raises(KeyboardInterrupt):
        asked(name, cut, tmp_path / "cut")
    (place,) = (tmp_path / "cut").iterdir()
    place.write_bytes(place.read_bytes() + b'["half a li')
    rest = Lengths()
    assert asked(name, rest, tmp_path / "cut") == wanted
    assert 0 < len(rest.asked) < len(whole.asked) == len(cut.asked) + len(rest.asked)
    (same,) = (tmp_path / "whole").iterdir()
    assert place.name == same.name and place.read_bytes() == same.read_bytes()
    idle = Lengths(0)
    assert asked(name, idle, tmp_path / "cut") == wanted


@pytest.mark.parametrize("other", [{"mark": "another"}, {"task": "Translate."}])
def test_another_llm_or_question_is_asked_anew(other: dict[str, str], tmp_path: Path):
    asked("letter", Lengths(), tmp_path)
    again = Lengths()
    asked("letter", again, tmp_path, **other)
    assert len(again.asked) == 4 * len(PAIRS)


def test_what_could_not_be_read_is_asked_again_by_the_next_run_and_not_by_this_one(tmp_path: Path):
    place = tmp_path / "v.jsonl"
    said = Verdicts(place)
    said.add([(PAIRS[0], None), (PAIRS[1], 0.25)])
    assert PAIRS[0] in said and said[PAIRS[0]] is None
    place.write_text(place.read_text() + f'["{fingerprint(*PAIRS[2])}", null]\n')  # as earlier runs kept it
    kept = Verdicts(place)
    assert kept[PAIRS[1]] == 0.25 and PAIRS[0] not in kept and PAIRS[2] not in kept
    assert "null" not in place.read_text()


def test_a_disk_that_refuses_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot keep verdicts"):
        Verdicts(tmp_path / "file" / "v.jsonl")
