"""Layouts of benchmark data: each writes a tiny set as it is published and says how it is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rba.data import audio
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.testing.tiny_utterances import tiny_wave

CLIP = audio.encode(tiny_wave(1))


def settings(layout: str, source: Path, **values: object) -> BenchmarkSettings:
    return BenchmarkSettings("b", layout, str(source), **values)  # type: ignore[arg-type]


def write_rows(path: Path, *records: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in records))
    return path


def write_table(path: Path, *records: dict[str, str]) -> None:
    lines = ["\t".join(row) for row in (records[0].keys(), *(record.values() for record in records))]
    path.write_text("\n".join(lines) + "\n")


def write_clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CLIP)


def questions(folder: Path) -> BenchmarkSettings:
    write_clip(folder / "q1.wav")
    write_rows(folder / "manifest.jsonl", {"id": "1", "question": "Who?", "answer": "Ann", "audio": "q1.wav"})
    return settings("llama-questions", folder)


def aliases(folder: Path) -> BenchmarkSettings:
    row = {"QuestionId": "1", "Question": "Who?", "Answer": {"Value": "Ann", "Aliases": ["Ann", "Anna"]}}
    (folder / "wiki.json").write_text(json.dumps({"Data": [row]}))
    return settings("trivia-qa", folder / "wiki.json")


def several(folder: Path) -> BenchmarkSettings:
    write_rows(folder / "test.jsonl", {"id": 1, "question": "Who?", "answers": ["Ann", "Anna"]})
    return settings("web-questions", folder)


def reading(folder: Path) -> BenchmarkSettings:
    question = {"id": "1", "question": "Who?", "answers": [{"text": "Ann"}]}
    paragraphs = [{"context": "Ann was there.", "qas": [question]}]
    (folder / "test.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    write_clip(folder / "wav" / "1.wav")
    return settings("squad", folder)


def flat_reading(folder: Path) -> BenchmarkSettings:
    row = {"id": "1", "question": "Who?", "context": "Ann was there.", "answers": {"text": ["Ann"]}}
    return settings("squad", write_rows(folder / "flat.jsonl", row))


def instructions(folder: Path) -> BenchmarkSettings:
    return settings("alpaca-eval", write_rows(folder / "a.jsonl", {"instruction": "Who?", "output": "Ann"}))


def voices(folder: Path) -> BenchmarkSettings:
    write_rows(folder / "sd-qa" / "test.jsonl", {"prompt": "Who?", "reference": "Ann"})
    return settings("voicebench", folder, subset="sd-qa")


def parquet(folder: Path) -> BenchmarkSettings:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"prompt": "Who?", "reference": "Ann", "audio": {"bytes": CLIP, "path": None}}
    (folder / "sd-qa").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), folder / "sd-qa" / "test-00000-of-00001.parquet")
    return settings("voicebench", folder, subset="sd-qa")


def chapters(folder: Path) -> BenchmarkSettings:
    write_clip(folder / "84" / "121" / "84-121-0000.flac")
    (folder / "84" / "121" / "84-121.trans.txt").write_text("84-121-0000 WHO\n")
    return settings("librispeech", folder)


def covost(folder: Path) -> BenchmarkSettings:
    write_clip(folder / "clips" / "1.mp3")
    row = {"path": "1.mp3", "sentence": 'Who "is"?', "translation": "Wer?"}
    write_table(folder / "covost_v2.en_de.test.tsv", row)
    return settings("covost2", folder, subset="en_de")


def regional_covost(folder: Path) -> BenchmarkSettings:
    write_clip(folder / "clips" / "1.mp3")
    write_table(folder / "covost_v2.en_zh-CN.test.tsv", {"path": "1.mp3", "sentence": "Who?", "translation": "谁？"})
    return settings("covost2", folder, subset="en_zh-CN")


def fleurs(folder: Path) -> BenchmarkSettings:
    for config, text in (("en_us", "Who?"), ("de_de", "Wer?")):
        write_clip(folder / config / "audio" / "test" / "9.wav")
        (folder / config / "test.tsv").write_text(f"7\t9.wav\t{text}\tx\ty\n")
    return settings("fleurs", folder, subset="en_us-de_de")


def must_c(folder: Path) -> BenchmarkSettings:
    place = folder / "en-de" / "data" / "test"
    (place / "txt").mkdir(parents=True)
    write_clip(place / "wav" / "talk.wav")
    (place / "txt" / "test.yaml").write_text("- {duration: 0.2, offset: 0.1, wav: talk.wav}\n")
    (place / "txt" / "test.en").write_text("Who?\n")
    (place / "txt" / "test.de").write_text("Wer?\n")
    return settings("must-c", folder, subset="en_de")


def pairs(folder: Path) -> BenchmarkSettings:
    return settings("pairs", write_rows(folder / "p.jsonl", {"eng": "Who?", "deu": "Wer?"}), subset="eng_deu")


LAYOUTS: dict[Callable[[Path], BenchmarkSettings], tuple[tuple[str, ...], bool]] = {
    questions: (("Ann",), True),
    aliases: (("Ann", "Anna"), False),
    several: (("Ann", "Anna"), False),
    reading: (("Ann",), True),
    flat_reading: (("Ann",), False),
    instructions: ((), False),
    voices: (("Ann",), False),
    parquet: (("Ann",), True),
    chapters: (("who",), True),
    covost: (("Wer?",), True),
    regional_covost: (("谁？",), True),
    fleurs: (("Wer?",), True),
    must_c: (("Wer?",), True),
    pairs: (("Wer?",), False),
}


def numbered(folder: Path, count: int) -> Path:
    return write_rows(
        folder / "n.jsonl", *({"id": i, "question": f"What is {i}?", "answer": str(i)} for i in range(count))
    )
