"""Requests from a file instead of the teacher: plain text with one a line, or JSON lines with a `text` each."""

from __future__ import annotations

from pathlib import Path

from rba.data.text_lines import text_lines, text_row
from rba.errors import DataError
from rba.files import local

JSON_LINES = (".jsonl", ".ndjson")


def read_texts(path: str | Path) -> list[str]:
    """The texts of a file in their order, blank lines left out; a name in `.jsonl` or `.ndjson` says JSON lines.

    Either may be gzipped (`.jsonl.gz`). Raises DataError, with file and line, for a line that is no UTF-8, no JSON
    object or has no text, and for a file that is missing or empty.
    """
    place = local(path)
    rows = text_lines(place, "the texts (synthesis.texts)")
    if place.name.lower().removesuffix(".gz").endswith(JSON_LINES):
        rows = [(where, text_row(line, where)["text"].strip()) for where, line in rows]
    if not rows:
        raise DataError("the file holds no text", str(path), "write one text a line")
    return [text for _, text in rows]
