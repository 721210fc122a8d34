"""Parquet shards: what is written comes back; what is damaged is named; `datasets` opens them."""

from __future__ import annotations

import errno
import pathlib
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.data import audio, shards
from rba.data.instruction import Instruction, instruction_id
from rba.data.utterance import Utterance
from rba.errors import DataError, WorkspaceError

UTTERANCE = Utterance(
    id="a-0",
    instruction_id="a",
    voice=0,
    text="What is a fjord?",
    response="A drowned valley.",
    topic="",
    difficulty="",
    split="train",
    engine="hibari",
    speaker="hibari-0007",
    seed=2**62,
    acoustics="{}",
    duration=0.5,
    wer=None,
    audio=audio.encode(np.zeros(8_000, np.float32)),
)


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(st.builds(Instruction, *[st.text() for _ in range(7)]), max_size=5))
def test_instructions_come_back_as_they_were(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("shard") / "part-00000.parquet"
    shards.write(path, rows, Instruction)
    assert shards.read(path, Instruction) == rows


def test_utterances_come_back_with_their_audio_and_missing_values(tmp_path):
    rows = [UTTERANCE, replace(UTTERANCE, id="a-1", voice=1, wer=0.25)]
    shards.write(tmp_path / "u.parquet", rows, Utterance)
    assert shards.read(tmp_path / "u.parquet", Utterance) == rows


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        shards.write(tmp_path / name, [UTTERANCE], Utterance)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_empty_shard_is_a_shard(tmp_path):
    shards.write(tmp_path / "e.parquet", [], Utterance)
    assert shards.read(tmp_path / "e.parquet", Utterance) == []


def test_lists_and_numbers_have_their_types(tmp_path):
    @dataclass(frozen=True)
    class Row:
        words: list[str]
        scores: list[float]
        ok: bool

    # a local class has no module globals to resolve its annotations in
    Row.__annotations__ = {"words": list[str], "scores": list[float], "ok": bool}
    rows = [Row(["a"], [0.5, 1.0], True), Row([], [], False)]
    shards.write(tmp_path / "r.parquet", rows, Row)
    assert shards.read(tmp_path / "r.parquet", Row) == rows


def test_datasets_opens_an_utterance_shard_without_an_audio_decoder(tmp_path):
    import datasets

    shards.write(tmp_path / "u.parquet", [UTTERANCE], Utterance)
    files = str(tmp_path / "u.parquet")
    table = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert table.features["audio"] == datasets.Audio(sampling_rate=16_000, decode=False)
    row = table[0]
    assert row["audio"] == {"bytes": UTTERANCE.audio, "path": "a-0.flac"}
    assert {k: row[k] for k in row if k != "audio"} == {k: v for k, v in asdict(UTTERANCE).items() if k != "audio"}
    assert len(audio.decode(row["audio"]["bytes"])) == 8_000


@pytest.mark.parametrize("keep", [0, 1, 100, -1], ids=["nothing", "a byte", "a hundred bytes", "all but a byte"])
def test_a_truncated_shard_is_named(tmp_path, keep):
    path = tmp_path / "part-00003.parquet"
    shards.write(path, [UTTERANCE], Utterance)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"damaged \(.*part-00003\.parquet\); delete the file") as caught:
        shards.read(path, Utterance)
    assert "\n" not in str(caught.value)


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(DataError, match=r"missing or damaged \(.*gone"):
        shards.read(tmp_path / "gone.parquet", Utterance)


def test_missing_columns_are_named(tmp_path):
    shards.write(tmp_path / "i.parquet", [Instruction("a", "text")], Instruction)
    with pytest.raises(DataError, match="lacks the columns instruction_id, voice"):
        shards.read(tmp_path / "i.parquet", Utterance)


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "u.parquet"
    shards.write(path, [UTTERANCE], Utterance)
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(WorkspaceError, match=r"No space left.*u\.parquet.*free some space"):
        shards.write(path, [UTTERANCE] * 2, Utterance)
    monkeypatch.undo()
    monkeypatch.setattr(pathlib.Path, "replace", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        shards.write(path, [UTTERANCE] * 2, Utterance)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["u.parquet"]


def test_an_instruction_is_known_by_its_words():
    assert instruction_id("What is  a Fjord?") == instruction_id("what is a fjord? ")
    assert instruction_id("what is a fjord?") != instruction_id("what is a ford?")
    assert len(instruction_id("x")) == 16
