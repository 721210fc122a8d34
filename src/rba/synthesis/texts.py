"""Requests from a file instead of the teacher: plain text with one a line, or JSON lines with a `text` each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rba.errors import DataError

JSON_LINES = (".jsonl", ".ndjson")


def read_texts(path: str | Path) -> list[str]:
    """The texts of a file in their order, blank lines left out; a name in `.jsonl` or `.ndjson` says JSON lines.

    Raises DataError, with file and line, for a line that is no UTF-8, no JSON object or has no text, and for a file
    that is missing or empty.
    """
    place = Path(path).expanduser()
    try:
        lines = place.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"the texts cannot be read: {error.strerror}", str(path), "check synthesis.texts") from error
    read: Callable[[str], str] = _record if place.suffix.lower() in JSON_LINES else str.strip
    found = [_checked(read, line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError("the file holds no text", str(path), "write one text a line")
    return found


def _checked(read: Callable[[str], str], line: bytes, where: str) -> str:
    try:
        return read(line.decode("utf-8-sig"))  # a file may begin with a mark of its byte order
    except UnicodeDecodeError as error:
        raise DataError("this line is not UTF-8", where, "save the file as UTF-8") from error
    except ValueError as error:
        raise DataError("this line holds no text", where, 'write a JSON object a line: {"text": "..."}') from error


def _record(line: str) -> str:
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
        raise ValueError("no text")
    return row["text"].strip()
