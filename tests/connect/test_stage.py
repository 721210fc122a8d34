"""The connect stage: the corpus keeps test texts out of training; a connector of other models is refused."""

import gzip
import json

import numpy as np
import pytest

from rba.connect import stage
from rba.connect.settings import ConnectSettings, CorpusSettings
from rba.data.instruction import instruction_id
from rba.errors import DataError, ModelError
from rba.workspace import StageFolder


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
    with pytest.raises(DataError, match=r"cannot read the corpus file \(.*bad.jsonl\); give JSON lines"):
        stage.corpus(settings, None, tmp_path / "corpus", seed=0)


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
