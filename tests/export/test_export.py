"""Exports as a whole: which rows, whole or not at all, the same bytes, and clear faults."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from export.runs import add_samples, make_run, spoken
from rba import cli
from rba.data.audio import MIN_SECONDS, SAMPLE_RATE
from rba.errors import DataError, RecipeError, WorkspaceError
from rba.export import webdataset
from rba.export.example import Example, decode_pcm
from rba.export.export import export
from rba.export.folder import new_folder
from rba.export.registry import FORMATS, load_format
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import Workspace


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with speech and ranked self-samples."""
    root = make_run(tmp_path / "run")
    add_samples(root)
    return root


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_run_gives_the_same_bytes_wherever_they_go(run, tmp_path, name):
    for place in ("a", "elsewhere/b"):
        assert export(run, name, tmp_path / place).examples == {"train": 6, "validation": 2, "test": 2}
    first, second = tree(tmp_path / "a"), tree(tmp_path / "elsewhere/b")
    assert first == second
    assert sum(".wav" in file for file in first) == (0 if name in ("hf", "webdataset") else 10)


@pytest.mark.parametrize("name", FORMATS)
def test_one_split_can_be_had_alone(run, tmp_path, name):
    assert export(run, name, tmp_path / "out", split="test").examples == {"test": 2}
    assert not any("train" in file for file in tree(tmp_path / "out"))


def test_a_folder_that_holds_something_is_left_alone(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="not empty"):
        export(run, "nemo", tmp_path / "mine")
    assert tree(tmp_path / "mine") == {"notes.txt": b"mine"}


def test_it_can_be_the_folder_that_one_stands_in(run, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export(run, "nemo", Path())
    assert tree(tmp_path / "here")


def test_an_empty_folder_and_the_remains_of_a_killed_export_are_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for process in (ended.pid, os.getpid(), os.getppid()):
        remains = tmp_path / f".out.{platform.node()}-{process}.exporting"
        remains.mkdir()
        (remains / "old").write_text("half")
    export(run, "nemo", tmp_path / "out")
    assert "old" not in tree(tmp_path / "out")
    # the last belongs to an export that may go on
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == [remains]


def test_a_run_leaves_the_export_into_its_folder_alone(run):
    with new_folder(run / "nemo") as folder:
        (folder / "half").write_text("of it")
        with Workspace(run).lock():
            pass
    assert tree(run / "nemo") == {"half": b"of it"}


def test_what_has_come_into_the_folder_meanwhile_stays(tmp_path):
    with pytest.raises(WorkspaceError, match="not empty"), new_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "other").write_text("export")
    assert tree(tmp_path) == {"out/other": b"export"}


def test_an_export_that_fails_leaves_nothing(run, tmp_path, monkeypatch):
    def full(example: Example) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Example, "wav", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        export(run, "nemo", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_clip_that_cannot_be_decoded_is_left_out_and_named(tmp_path):
    rows = spoken()
    rows[1] = replace(rows[1], audio=b"not audio")
    done = export(make_run(tmp_path / "run", rows), "swift", tmp_path / "out")
    assert done.examples["train"] == 5 and list(done.lost) == [rows[1].id]
    assert not (tmp_path / "out" / "audio" / f"{rows[1].id}.wav").exists()


def test_speech_that_is_missing_or_unfinished_is_refused(tmp_path):
    with pytest.raises(WorkspaceError, match="no such run folder"):
        export(tmp_path / "nowhere", "hf", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="speech is missing"):
        export(tmp_path / "empty", "hf", tmp_path / "out")
    with pytest.raises(DataError, match="not finished"):
        export(make_run(tmp_path / "half", finished=False), "hf", tmp_path / "out")


def test_a_split_without_speech_is_refused(tmp_path):
    root = make_run(tmp_path / "run", tiny_utterances(3, 2))
    with pytest.raises(DataError, match=r"no such utterances .*split test"):
        export(root, "hf", tmp_path / "out", split="test")


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean nemo"):
        load_format("nemmo")
    with pytest.raises(RecipeError, match="formats are: hf, nemo"):
        load_format("42")


def test_a_command_that_cannot_be_served_says_so_in_one_line(run, tmp_path, capsys):
    for words in (["--to", "lhotsee"], ["--to", "verl", "--pairs"], ["--to", "nemo", "--out", "/"]):
        assert cli.main(["export", str(run), "--out", str(tmp_path / "out"), *words]) == 2
        said = capsys.readouterr().err
        assert said.count("rba: error: ") == 1 and "Traceback" not in said
        assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(run, tmp_path, capsys):
    assert cli.main(["export", str(run), "--to", "hf", "--out", str(tmp_path / "out"), "--split", "train"]) == 0
    assert capsys.readouterr().out == f"utterances in {tmp_path / 'out'}: 6 train\n"


def test_large_splits_are_cut_into_shards_that_lose_nothing(run, tmp_path, monkeypatch):
    export(run, "webdataset", tmp_path / "whole", split="train")
    monkeypatch.setattr(webdataset, "ROWS", 4)
    export(run, "webdataset", tmp_path / "cut", split="train")
    assert list(tree(tmp_path / "whole")) == ["train-000000.tar"]
    assert list(tree(tmp_path / "cut")) == ["train-000000.tar", "train-000001.tar"]


@settings(max_examples=30, deadline=None)
@given(arrays(np.int16, st.integers(int(MIN_SECONDS * SAMPLE_RATE), 4000)))
def test_wav_files_hold_the_very_samples_of_the_flac(pcm):
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    row = replace(tiny_utterances(1, 1)[0], audio=buffer.getvalue())
    example = Example(row.id, row, decode_pcm(row))
    assert np.array_equal(example.pcm, pcm)
    assert np.array_equal(soundfile.read(io.BytesIO(example.wav()), dtype="int16")[0], pcm)
