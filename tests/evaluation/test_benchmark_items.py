"""Which items of a benchmark are asked, what a scorer needs of them, and how they are said and scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.layouts import numbered, settings, write_rows
from rba.data import audio
from rba.errors import AudioError, DataError, RecipeError
from rba.evaluation.answers import Answer
from rba.evaluation.benchmarks.load import chosen_items, load
from rba.evaluation.benchmarks.needs import check
from rba.evaluation.benchmarks.rows import rows
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.speech.references import ReferenceBank
from rba.speech.settings import SpeechSettings
from rba.speech.speaker import home_split
from rba.testing.tiny_utterances import tiny_wave


@pytest.mark.parametrize(
    ("layout", "scorer", "found", "says"),
    [
        ("manifest", "qa", [{"question": "Who?"}], "qa needs answers"),
        ("alpaca-eval", "qa", [{"question": "Who?", "output": "Ann"}], "qa needs answers"),
        ("manifest", "asr", [{"question": "Who?", "answer": "who"}, {"question": "What?"}], "1 of 2 items lack"),
        ("manifest", "translation", [{"question": "Who?"}], "needs a translation"),
        ("manifest", "ifeval", [{"question": "Who?", "answer": "Ann"}], "needs checks of IFEval"),
        ("manifest", "choice", [{"question": "A or B?", "answer": "Berlin"}], "needs a letter"),
    ],
)
def test_what_the_scorer_lacks_is_told_before_anything_is_said(
    layout, scorer, found, says, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("rba.evaluation.benchmarks.load.prepare", lambda *a: pytest.fail("said something"))
    source = write_rows(tmp_path / "rows.jsonl", *found)
    with pytest.raises(DataError, match=says) as refused:
        load(settings(layout, source, scorer=scorer), SpeechSettings(), tmp_path / "speech", 1)
    assert "benchmark b" in refused.value.where and refused.value.fix
    assert scorer == "qa" or "rows.jsonl, row " in refused.value.where


@pytest.mark.parametrize(
    ("scorer", "found"),
    [
        ("qa", [{"question": "Who?", "answer": "Ann"}, {"question": "Why?"}]),
        ("choice", [{"question": "A or B?", "answer": "(a)"}, {"question": "Is it?", "answer": "no"}]),
        ("open", [{"question": "Who?"}]),
        ("refusal", [{"question": "Who?"}]),
    ],
)
def test_what_a_scorer_can_do_without_is_not_asked_for(scorer: str, found, tmp_path: Path):
    source = write_rows(tmp_path / "rows.jsonl", *found)
    check("b", scorer, chosen_items(settings("manifest", source), 0))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"scorer": "x"},
        {"name": "heldout"},
        {"name": "a/b"},
        {"name": ".."},
        {"source": ""},
        {"max_new_tokens": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(change):
    with pytest.raises(RecipeError, match="benchmarks: "):
        replace(BenchmarkSettings("b", "manifest", "x"), **change)


def test_more_items_keep_those_that_fewer_chose(tmp_path: Path):
    source = numbered(tmp_path, 40)
    few, many, every = (chosen_items(settings("manifest", source, items=n), seed=3) for n in (5, 20, 0))
    assert [len(found) for found in (few, many, every)] == [5, 20, 40]
    assert {i.id for i in few} < {i.id for i in many}
    assert {i.id for i in chosen_items(settings("manifest", source, items=5), seed=4)} != {i.id for i in few}


def test_two_items_with_one_id_are_refused(tmp_path: Path):
    source = write_rows(tmp_path / "twice.jsonl", {"id": 1, "question": "a"}, {"id": 1, "question": "b"})
    with pytest.raises(DataError, match=r"two items with the id 1 .*twice\.jsonl, row 1 and .*twice\.jsonl, row 2"):
        chosen_items(settings("manifest", source), 0)


def test_what_has_no_clip_is_spoken_by_test_speakers_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = settings("manifest", numbered(tmp_path, 3))
    first = load(asked, SpeechSettings(), tmp_path / "speech", 5, trained={"What is 1?"})
    assert set(first.items) == {"b/0", "b/2"} == {u.instruction_id for u in first.utterances}
    assert first.refused == {"b/1": "its words occur in training"}
    assert {home_split(u.speaker) for u in first.utterances} == {"test"}
    monkeypatch.setattr("rba.evaluation.benchmarks.load.render", lambda *a: pytest.fail("said again"))
    assert load(asked, SpeechSettings(), tmp_path / "speech", 5, {"What is 1?"}).utterances == first.utterances


def test_a_benchmark_of_which_nothing_can_be_asked_is_refused_with_the_reason(tmp_path: Path, monkeypatch):
    def mute(*_args):
        raise AudioError("this engine says nothing", "x")

    monkeypatch.setattr("rba.evaluation.benchmarks.load.render", mute)
    with pytest.raises(DataError, match=r"none of the 3 items can be asked: .*says nothing.*3 of them.*benchmarks: b"):
        load(settings("manifest", numbered(tmp_path, 3)), SpeechSettings(), tmp_path / "speech", 5)


def test_items_that_training_has_seen_are_counted_in_a_line(tmp_path: Path, capsys):
    asked = settings("manifest", numbered(tmp_path, 3))
    load(asked, SpeechSettings(), tmp_path / "some", 5, trained={"What is 1?"})
    assert "rba: benchmark b: 1 of 3 items left out, their words occur in training\n" in capsys.readouterr().err
    load(asked, SpeechSettings(), tmp_path / "none", 5)
    assert "left out" not in capsys.readouterr().err


def test_items_that_are_near_a_training_text_are_left_out_too_and_counted(tmp_path: Path, capsys):
    asked = settings("manifest", numbered(tmp_path / "rows.jsonl", 4), scorer="open")
    near = {"What is 1?", "What is 2?"}
    found = load(asked, SpeechSettings(), tmp_path / "some", 5, {"What is 1?"}, related=near.intersection)
    assert found.refused == {"b/1": "its words occur in training", "b/2": "training has a near duplicate"}
    told = "rba: benchmark b: 2 of 4 items left out, their words occur in training, of 1 a near duplicate"
    assert told in capsys.readouterr().err.splitlines()


def test_a_benchmark_that_training_has_seen_all_of_is_refused(tmp_path: Path):
    asked, seen = settings("manifest", numbered(tmp_path, 3)), {f"What is {i}?" for i in range(3)}
    with pytest.raises(DataError, match=r"none of the 3 items can be asked: its words occur in training.*: b"):
        load(asked, SpeechSettings(), tmp_path / "speech", 5, seen)


def test_a_file_is_read_by_its_ending_whatever_its_case(tmp_path: Path):
    source = write_rows(tmp_path / "some.jsonl", {"id": 1, "question": "a"})
    assert chosen_items(settings("manifest", source.rename(tmp_path / "some.JSONL")), 0)
    other = (tmp_path / "some.JSONL").rename(tmp_path / "some.xlsx")
    with pytest.raises(DataError, match=r"no ending that is read.*\.jsonl, \.json, \.parquet, \.csv, \.tsv"):
        chosen_items(settings("manifest", other), 0)


def test_cloned_voices_say_them_where_the_run_clones(tmp_path: Path):
    for person in range(40):
        clip = tmp_path / "people" / f"{person:02d}" / "clip.wav"
        clip.parent.mkdir(parents=True)
        soundfile.write(clip, np.tile(tiny_wave(person), 8), audio.SAMPLE_RATE)
    speech = SpeechSettings(engine="speech.examples:Mimic", references=str(tmp_path / "people"))
    found = load(settings("manifest", numbered(tmp_path, 3)), speech, tmp_path / "speech", 5)
    people = {who.id for who in ReferenceBank(speech.references).speakers("test")}
    assert len(found.utterances) == 3 and {u.speaker for u in found.utterances} <= people and not found.refused


def test_rows_compare_the_same_items_and_say_what_of_the_gap_is_closed(tmp_path: Path):
    benchmark = load(settings("manifest", numbered(tmp_path, 4)), SpeechSettings(), tmp_path / "speech", 1)
    right = {"base": 1, "sft": 2, "text": 3, "teacher": 4}
    answers = [
        Answer(model, "", f"b/{i}", 0, str(i) if i < n else "no", 3, True, None)
        for model, n in right.items()
        for i in range(4)
    ]
    found = {(r.model, r.metric, r.against): r.value for r in rows(benchmark, answers, 200, 1)}
    assert {m: found[m, "contains", ""] for m in right} == {m: n / 4 for m, n in right.items()}
    assert found["sft", "delta_contains", "base"] == pytest.approx(0.25)
    assert found["sft", "gap_closed", "base"] == pytest.approx(0.5)
    lost = [a for a in answers if (a.model, a.instruction_id) != ("sft", "b/0")]
    short = {(r.model, r.metric): r for r in rows(benchmark, lost, 200, 1) if not r.against}
    assert {short[m, "contains"].n for m in right} == {3} and short["base", "contains"].value == 0
