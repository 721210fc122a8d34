"""Training instructions of other runs beside a run's own: which come in, and which never may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rba.alignment.mix import speech_of, with_mixed
from rba.alignment.settings import AlignSettings
from rba.data.utterance import Utterance
from rba.errors import RecipeError, WorkspaceError
from rba.evaluation.leak import check_leaks
from rba.workspace import Workspace


def utterance(item: str, split: str = "train") -> Utterance:
    return Utterance(
        f"{item}-0", item, 0, f"say {item}", "well", "", "", split, "hibari", "s", 1, "{}", 0.1, None, b"x"
    )


def spoken(root: Path, *utterances: Utterance, complete: bool = True) -> str:
    folder = Workspace(root).stage("speech")
    folder.open("mark")
    folder.write_shard(0, list(utterances), Utterance)
    if complete:
        folder.complete()
    return str(root)


def test_only_training_utterances_come_in_and_after_the_runs_own(tmp_path):
    other = spoken(tmp_path / "qa", utterance("b"), utterance("c", "validation"), utterance("d", "test"))
    own = [utterance("a"), utterance("z", "test")]
    assert with_mixed(own, [other]) == [*own, utterance("b")]
    assert with_mixed(own, []) == own


def test_an_instruction_that_the_run_tests_is_never_trained_on(tmp_path):
    other = spoken(tmp_path / "qa", utterance("a"), utterance("b"))
    mixed = with_mixed([utterance("a", "test")], [other])
    assert [(u.instruction_id, u.split) for u in mixed] == [("a", "test"), ("b", "train")]


def test_nor_is_one_that_differs_from_it_in_signs_and_case_alone(tmp_path):
    asked = replace(utterance("a", "test"), text="What is the capital of France?", speaker="t")
    other = spoken(tmp_path / "qa", replace(utterance("b"), text="what is the capital of France"), utterance("c"))
    mixed = with_mixed([asked], [other])
    assert [u.instruction_id for u in mixed] == ["a", "c"]
    check_leaks([asked], mixed)


def test_of_two_runs_with_the_same_instruction_the_first_gives_it(tmp_path):
    first = spoken(tmp_path / "1", replace(utterance("b"), response="first"))
    second = spoken(tmp_path / "2", replace(utterance("b"), response="second"), utterance("c"))
    assert [u.response for u in with_mixed([], [first, second])] == ["first", "well"]


def test_a_run_without_finished_speech_is_refused(tmp_path):
    for run in (str(tmp_path / "nothing"), spoken(tmp_path / "half", utterance("a"), complete=False)):
        with pytest.raises(WorkspaceError, match="no finished speech") as refused:
            speech_of(run)
        assert run in refused.value.where and "rba speak" in refused.value.fix


def test_a_run_is_named_once():
    with pytest.raises(RecipeError, match="mix"):
        AlignSettings(mix=("runs/qa", "runs/qa"))
