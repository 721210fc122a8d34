"""Every format, opened by its own library where that is light, else field by field."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from export.runs import add_samples, make_run, spoken
from rba.export.example import decode_pcm
from rba.export.export import export

ROWS = {row.id: row for row in spoken()}
TRAIN = [row for row in ROWS.values() if row.split == "train"]
PAIRED = TRAIN[0]


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A folder that holds every export of one run: `<format>` and `<format>-pairs`."""
    root = tmp_path_factory.mktemp("exports")
    run = make_run(root / "run")
    add_samples(run)
    for name in ("hf", "nemo", "swift", "verl", "webdataset", "lhotse"):
        export(run, name, root / name)
        if name != "verl":
            export(run, name, root / f"{name}-pairs", pairs="group")
    return root


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def same_samples(path: Path, utterance: str) -> bool:
    wave, rate = soundfile.read(path, dtype="int16")
    return rate == 16_000 and np.array_equal(wave, decode_pcm(ROWS[utterance]))


def test_datasets_opens_the_speech_with_its_audio_undecoded(out, tmp_path):
    found = datasets.load_dataset(str(out / "hf"), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in found.items()} == {"train": 6, "validation": 2, "test": 2}
    assert found["train"].features["audio"] == datasets.Audio(sampling_rate=16_000, decode=False)
    for row in found["test"]:
        assert row["audio"]["bytes"] == ROWS[row["id"]].audio
        assert (row["text"], row["response"], row["speaker"]) == tuple(
            getattr(ROWS[row["id"]], name) for name in ("text", "response", "speaker")
        )


def test_datasets_opens_pairs_under_the_names_of_trl(out, tmp_path):
    (row,) = datasets.load_dataset(str(out / "hf-pairs"), cache_dir=str(tmp_path))["train"]
    assert (row["prompt"], row["chosen"], row["rejected"]) == (PAIRED.text, "an apple!", "pear")
    assert (row["chosen_reward"], row["rejected_reward"], row["source"]) == (0.9, 0.1, "shared")
    assert row["audio"]["bytes"] == PAIRED.audio


def test_nemo_manifests_name_clips_beside_them(out):
    rows = lines(out / "nemo" / "train.jsonl")
    assert [row["utterance_id"] for row in rows] == [row.id for row in TRAIN]
    for row, said in zip(rows, TRAIN):
        assert same_samples(out / "nemo" / row["audio_filepath"], said.id)
        assert row["duration"] == soundfile.info(out / "nemo" / row["audio_filepath"]).duration
        assert (row["text"], row["answer"], row["speaker"], row["lang"]) == (
            said.text,
            said.response,
            said.speaker,
            "en",
        )
    (pair,) = lines(out / "nemo-pairs" / "train.jsonl")
    assert (pair["answer"], pair["chosen"], pair["rejected"]) == ("an apple!", "an apple!", "pear")


def test_swift_rows_have_one_audio_tag_for_each_audio(out):
    rows = lines(out / "swift" / "validation.jsonl")
    assert len(rows) == 2
    for row in rows:
        user, assistant = row["messages"]
        assert user == {"role": "user", "content": "<audio>"}
        assert assistant == {"role": "assistant", "content": ROWS[row["id"]].response}
        assert same_samples(out / "swift" / row["audios"][0], row["id"]) and len(row["audios"]) == 1
        assert "rejected_response" not in row
    (pair,) = lines(out / "swift-pairs" / "train.jsonl")
    assert (pair["messages"][-1]["content"], pair["rejected_response"]) == ("an apple!", "pear")


def test_verl_rows_hold_prompt_audio_and_ground_truth(out, tmp_path):
    # verl reads its files so
    rows = datasets.load_dataset("parquet", data_files=str(out / "verl" / "train.parquet"), cache_dir=str(tmp_path))
    for index, (row, said) in enumerate(zip(rows["train"], TRAIN, strict=True)):
        assert row["prompt"] == [{"role": "user", "content": "<audio>"}]
        assert len(row["audios"]) == 1 and same_samples(out / "verl" / row["audios"][0], said.id)
        assert row["reward_model"] == {"style": "rule", "ground_truth": said.response}
        assert row["extra_info"]["index"] == index and row["extra_info"]["speaker"] == said.speaker
        assert (row["data_source"], row["ability"], row["extra_info"]["split"]) == ("rba", "Others", "train")


def test_verl_rows_are_written_in_batches(out, tmp_path, monkeypatch):
    from rba.export import verl

    monkeypatch.setattr(verl, "ROWS", 4)
    export(out / "run", "verl", tmp_path / "cut", split="train")
    cut = pq.ParquetFile(tmp_path / "cut" / "train.parquet")
    assert cut.num_row_groups == 2 and cut.read().equals(pq.read_table(out / "verl" / "train.parquet"))


def test_webdataset_reads_the_shards(out):
    import webdataset

    shards = webdataset.WebDataset(str(out / "webdataset" / "train-000000.tar"), shardshuffle=False)
    rows = {row["__key__"]: row for row in shards}
    assert list(rows) == [row.id for row in TRAIN]
    for said in TRAIN:
        facts = json.loads(rows[said.id]["json"])
        assert (facts["text"], facts["answer"], facts["speaker"]) == (said.text, said.response, said.speaker)
        assert rows[said.id]["wav"] == (out / "nemo" / "audio" / f"{said.id}.wav").read_bytes()
    pairs = webdataset.WebDataset(str(out / "webdataset-pairs" / "train-000000.tar"), shardshuffle=False)
    (pair,) = pairs
    assert pair["__key__"] == f"{PAIRED.id}-p0" and json.loads(pair["json"])["rejected"] == "pear"


def test_lhotse_opens_cuts_recordings_and_supervisions(out):
    import lhotse

    folder = out / "lhotse"
    cuts, recordings, supervisions = (
        lhotse.load_manifest(folder / f"{kind}_train.jsonl.gz") for kind in ("cuts", "recordings", "supervisions")
    )
    lhotse.validate_recordings_and_supervisions(recordings, supervisions)
    assert [cut.id for cut in cuts] == [row.id for row in TRAIN]
    for cut in cuts.with_recording_path_prefix(folder):
        said = ROWS[cut.id]
        lhotse.validate(cut, read_data=True)
        assert np.array_equal((cut.load_audio()[0] * 32768).astype(np.int16), decode_pcm(said))
        (words,) = cut.supervisions
        assert (words.text, words.speaker, words.answer, cut.answer) == (
            said.text,
            said.speaker,
            said.response,
            said.response,
        )


def test_lhotse_pairs_share_their_recording(out):
    import lhotse

    (cut,) = lhotse.load_manifest(out / "lhotse-pairs" / "cuts_train.jsonl.gz")
    assert (cut.id, cut.recording.id, cut.chosen, cut.rejected) == (f"{PAIRED.id}-p0", PAIRED.id, "an apple!", "pear")


def test_chat_formats_hold_the_runs_task(tmp_path):
    root = make_run(tmp_path / "run")
    (root / "config.yaml").write_text('name: told\ntask: {prompt: "Translate into Spanish: {}", language: es}\n')
    for name in ("swift", "verl"):
        export(root, name, tmp_path / name, split="validation")
    assert {
        lines_[0]["content"] for lines_ in (row["messages"] for row in lines(tmp_path / "swift" / "validation.jsonl"))
    } == {"Translate into Spanish: <audio>"}
    prompts = pq.read_table(tmp_path / "verl" / "validation.parquet")["prompt"].to_pylist()
    assert {prompt[-1]["content"] for prompt in prompts} == {"Translate into Spanish: <audio>"}
    (root / "config.yaml").write_text("name: told\ntask: {prompt: Translate what you hear.}\n")
    export(root, "swift", tmp_path / "system", split="validation")
    system, asked, _ = lines(tmp_path / "system" / "validation.jsonl")[0]["messages"]
    assert system == {"role": "system", "content": "Translate what you hear."} and asked["content"] == "<audio>"
