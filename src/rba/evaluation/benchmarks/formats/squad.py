"""Reading by ear: SQuAD's nested JSON, or flat rows with "context". The passage is read, the question is heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rba.errors import DataError
from rba.evaluation.benchmarks import sources, tables
from rba.evaluation.benchmarks.formats import manifest
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings

READ = "Answer the question from this passage, in a few words.\n\n"


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item a question; a clip is `audio`, else the `<question id>.wav` that spoken sets have in "wav"."""
    rows = list(sources.records(settings))
    if not any("paragraphs" in row for _, row in rows):
        for item in manifest.load(settings):
            if not item.system:
                raise DataError("a row has no passage to read", item.where, "name its column context")
            yield replace(item, system=READ + item.system)
        return
    folder = sources.folder_of(settings)
    for where, row in rows:
        with sources.reading(where):
            items = list(_items(row, folder, where))
        yield from items


def _items(row: tables.Record, folder: Path, where: str) -> Iterator[Item]:
    for paragraph in row["paragraphs"]:
        for question in paragraph["qas"]:
            yield _item(question, READ + sources.text_in(paragraph, "context"), folder, where)


def _item(question: dict[str, Any], system: str, folder: Path, where: str) -> Item:
    name = str(question["id"])
    spoken = folder / "wav" / f"{name}.wav"
    audio = spoken.read_bytes() if spoken.is_file() else sources.clip(question.get("audio"), folder, where)
    answers = manifest.answers_of([a["text"] for a in question.get("answers", [])])
    return Item(name, sources.text_in(question, "question"), answers, audio, system, where=where)
