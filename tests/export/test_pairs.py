"""Preference pairs from kept self-samples: RBA-Group's and RBA-Single's."""

from __future__ import annotations

import pytest

from export.runs import add_samples, make_run
from rba.errors import DataError
from rba.export.example import Pair
from rba.export.export import export
from rba.export.pairs import load_pairs
from rba.testing.tiny_utterances import tiny_utterances

TRAIN = tiny_utterances(3, 2)
RESPONSES = {row.id: row.response for row in TRAIN}


def test_group_pairs_are_the_best_and_the_worst_answer_over_voices(tmp_path):
    add_samples(tmp_path)
    found = load_pairs(tmp_path, "group", RESPONSES)
    # the second instruction's rewards are tied, the third's answers too
    assert found == {TRAIN[0].id: [Pair("an apple!", "pear", 0.9, 0.1, "shared", 0)]}


def test_single_pairs_set_the_teacher_against_every_own_answer_that_differs(tmp_path):
    add_samples(tmp_path, rewarded=False)
    found = load_pairs(tmp_path, "single", RESPONSES)
    assert list(found) == [row.id for row in TRAIN[:4]]
    assert found[TRAIN[2].id] == [Pair("hello there", "hi", None, None, "shared", 0)]


def test_a_method_keeps_pairs_of_its_own(tmp_path):
    add_samples(tmp_path)
    own = tmp_path / "align" / "rba-group"
    own.mkdir()
    (tmp_path / "align" / ".shared" / "answers-abc").rename(own / "rollouts")
    assert load_pairs(tmp_path, "group", RESPONSES)[TRAIN[0].id][0].source == "rba-group"


def test_answers_to_speech_that_is_gone_are_left_out(tmp_path):
    add_samples(tmp_path)
    assert load_pairs(tmp_path, "group", {TRAIN[0].id: "an apple"}) == {}


def test_a_run_without_ranked_answers_is_told_so(tmp_path):
    root = make_run(tmp_path / "run")
    add_samples(root, rewarded=False)
    with pytest.raises(DataError, match="no preference pairs"):
        export(root, "hf", tmp_path / "out", pairs="group")
    assert export(root, "hf", tmp_path / "out", pairs="single").examples == {"train": 4}
