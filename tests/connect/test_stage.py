"""The connect stage: the corpus keeps test texts out of training; a connector of other models is refused."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from rba import config
from rba.connect import features, stage
from rba.connect.settings import ConnectSettings, CorpusSettings
from rba.data.instruction import instruction_id
from rba.errors import DataError, ModelError
from rba.testing.tiny_speechlm import save_tiny_speechlm
from rba.workspace import StageFolder, fingerprint


def lines(path, rows):
    with gzip.open(path, "wt") as stream:
        stream.write("\n".join(json.dumps(r) for r in rows))
    return str(path)


@pytest.fixture
def settings(tmp_path):
    first = [{"text": f"What is number {i}?", "source": "query"} for i in range(20)]
    second = [{"text": f"What is number {i}?", "source": "query"} for i in range(10, 30)]
    second += [{"text": f"Answer {i}.", "source": "answer"} for i in range(5)]
    files = (lines(tmp_path / "one.jsonl.gz", first), lines(tmp_path / "two.jsonl.gz", second))
    return CorpusSettings(files=files, self_synthesised=0, templated=0, held_out=6)


def test_no_text_is_in_two_parts(settings, tmp_path):
    parts = stage.corpus(settings, None, tmp_path / "corpus", seed=0)
    texts = [text for part in parts.values() for text in part]
    assert len(texts) == len(set(texts)) == 35
    assert len(parts[stage.HELD_OUT]) == 6 and all("number" in t for t in parts[stage.HELD_OUT])


def test_the_split_is_kept_and_seeded(settings, tmp_path):
    first = stage.corpus(settings, None, tmp_path / "a", seed=0)
    assert stage.corpus(settings, None, tmp_path / "a", seed=5) == first  # what was written is read again
    assert stage.corpus(settings, None, tmp_path / "b", seed=0) == first
    assert stage.corpus(settings, None, tmp_path / "c", seed=1)[stage.HELD_OUT] != first[stage.HELD_OUT]


def test_what_the_start_was_trained_on_is_not_held_out(settings, tmp_path):
    first = stage.corpus(settings, None, tmp_path / "first", seed=0)
    trained = [t for name, part in first.items() if name != stage.HELD_OUT for t in part]
    heard = np.array([int(instruction_id(t), 16) for t in trained], np.uint64)
    again = stage.corpus(settings, None, tmp_path / "again", seed=7, heard=heard)
    assert set(again[stage.HELD_OUT]) == set(first[stage.HELD_OUT])


def test_a_corpus_that_the_start_heard_whole_is_one_clear_line(settings, tmp_path):
    first = stage.corpus(settings, None, tmp_path / "first", seed=0)
    heard = np.array([int(instruction_id(t), 16) for part in first.values() for t in part], np.uint64)
    with pytest.raises(DataError, match="no request can be held out"):
        stage.corpus(settings, None, tmp_path / "again", seed=0, heard=heard)
    assert not (tmp_path / "again" / "texts.json").exists()


def test_a_damaged_corpus_file_is_one_clear_line(tmp_path):
    (tmp_path / "bad.jsonl").write_text("{")
    settings = CorpusSettings(files=(str(tmp_path / "bad.jsonl"),), self_synthesised=0, templated=0)
    with pytest.raises(DataError, match=r"no text \(.*bad.jsonl, line 1\); write a JSON object a line"):
        stage.corpus(settings, None, tmp_path / "corpus", seed=0)


def train(settings, tmp_path, **models):
    folder = StageFolder(tmp_path / "run" / "connect")
    folder.open("x")
    stage.run(ConnectSettings(connector="train", corpus=settings, **models), folder=folder, seed=0)


def test_a_fault_in_a_corpus_file_is_told_before_a_model_is_loaded(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"text": "One."}\n{"sentence": "Two."}\n')
    settings = CorpusSettings(files=(str(tmp_path / "bad.jsonl"),), self_synthesised=0, templated=0)
    with pytest.raises(DataError, match=r"bad.jsonl, line 2\)"):
        train(settings, tmp_path, encoder="./no-encoder", llm="./no-llm")


@pytest.mark.parametrize("what", ["held out", "to train on"])
def test_a_corpus_of_which_nothing_can_be_said_is_one_clear_line(settings, tmp_path, monkeypatch, what):
    def make_shards(jobs, workers):
        for job in jobs:
            silent = (Path(job.folder).name == stage.HELD_OUT) == (what == "held out")
            rows = [] if silent else [{"text": "One.", "speaker": "x", "acoustics": "clean", "length": 4}]
            features._write(Path(job.folder), job.index, [np.zeros((4 * len(rows), 3), np.float16)], rows)

    folder = save_tiny_speechlm(tmp_path / "tiny")
    monkeypatch.setattr(features, "make_shards", make_shards)
    with pytest.raises(DataError, match=rf"none of the texts {what} can be said \(connect.corpus\)"):
        train(settings, tmp_path, encoder=str(folder / "whisper"), llm=str(folder / "llm"))


def test_registry_names_enter_the_mark_of_the_speech_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whisper-base").mkdir()  # not what is loaded
    heard = np.array([7], np.uint64)
    named = ConnectSettings(llm="org/model", corpus=CorpusSettings(files=("none.jsonl",)))
    facts = config.to_tree(named.corpus), [], "whisper-base", "org/model", 3, heard.tobytes().hex()
    assert stage.speech_mark(named, 3, heard) == fingerprint(*facts)


@pytest.mark.parametrize("changed", ["whisper", "llm"])
def test_speech_is_made_anew_where_a_local_model_is_replaced_in_place(tmp_path, changed):
    folder = save_tiny_speechlm(tmp_path / "tiny")
    local = ConnectSettings(encoder=str(folder / "whisper"), llm=str(folder / "llm"))
    before = stage.speech_mark(local, 0, stage.NOTHING)
    assert stage.speech_mark(local, 0, stage.NOTHING) == before
    weights = folder / changed / "model.safetensors"
    os.utime(weights, ns=(0, 0))
    assert stage.speech_mark(local, 0, stage.NOTHING) != before


def test_the_shipped_connector_refuses_other_models(tmp_path):
    folder = StageFolder(tmp_path / "connect")
    folder.open("x")
    with pytest.raises(ModelError, match="belongs to another encoder or LLM"):
        stage.run(ConnectSettings(encoder="whisper-tiny.en"), folder=folder, seed=0)


def test_the_shipped_connector_is_copied_whole(tmp_path):
    folder = StageFolder(tmp_path / "connect")
    folder.open("x")
    stage.run(ConnectSettings(), folder=folder, seed=0)
    assert folder.is_complete
    assert {"speechlm.json", "connector.safetensors"} <= {p.name for p in (folder.path / "model").iterdir()}
