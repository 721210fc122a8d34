"""Corpus files: JSON lines, plain or gzipped, with a `text` each and optionally a `source`."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from rba.errors import DataError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file in their order, blank lines left out.

    Raises DataError for a file that cannot be read and, with its number, for a line that is no object with a text.
    """
    # JSON ends a line with \n alone: splitlines() would also break texts at the separators of Unicode
    lines = _content(path).split("\n")
    return [_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _content(path: Path) -> str:
    try:
        data = path.read_bytes()
        # a file may begin with a mark of its byte order
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        fix = "give JSON lines in UTF-8, plain or as .gz"
        raise DataError(f"cannot read the corpus file: {reason}", str(path), fix) from error


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise ValueError("no text")
        row["text"].encode()  # JSON may hold halves of characters, which no file can
    except ValueError as error:
        fix = 'write a JSON object a line: {"text": "..."}'
        raise DataError("this line of a corpus file holds no text", where, fix) from error
    return row
