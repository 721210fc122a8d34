"""Requests from a file instead of the teacher: plain text with one a line, or JSON lines with a `text` each.

JSON lines may hold the answer, too, as `response`: such pairs need no teacher.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rba.data.text_lines import text_lines, text_row
from rba.errors import DataError
from rba.inputs import given

JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Given:
    """A request of a file and its answer, empty where the teacher is to give one."""

    text: str
    response: str = ""


def read_texts(path: str | Path) -> list[Given]:
    """The requests of a file in their order, blank lines left out; a name in `.jsonl` or `.ndjson` says JSON lines.

    Either may be gzipped (`.jsonl.gz`). Raises DataError, with file and line, for a line that is no UTF-8, no JSON
    object, has no text or an answer that is none, and for a file that is missing or empty.
    """
    place = given(path)
    rows = text_lines(place, "the texts (synthesis.texts)")
    if not rows:
        raise DataError("the file holds no text", str(path), "write one text a line")
    if place.name.lower().removesuffix(".gz").endswith(JSON_LINES):
        return [_row(line, where) for where, line in rows]
    return [Given(text) for _, text in rows]


def _row(line: str, where: str) -> Given:
    row = text_row(line, where)
    response = row.get("response") or ""
    if not isinstance(response, str):
        fix = 'write "response": "...", or leave it out where the teacher is to answer'
        raise DataError(f"the response is no text but {json.dumps(response)[:40]}", where, fix)
    return Given(row["text"].strip(), response.strip())
