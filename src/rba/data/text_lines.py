"""Lines of a text file, plain or gzipped, and rows of JSON lines that hold a text."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path
from typing import Any

from rba.document import parse_json
from rba.errors import DataError

ROW = '{"text": "..."}'


def text_lines(path: Path, what: str) -> list[tuple[str, str]]:
    """The lines of a file that are not blank, each with its place: "FILE, line 3".

    Raises DataError, naming `what` ("the texts"), for a file that cannot be read, and the place of what is no UTF-8.
    """
    # \n alone ends a line: splitlines() would also break texts at the separators of Unicode
    lines = _content(path, what).split(b"\n")
    return [
        (f"{path}, line {n}", _decoded(line, f"{path}, line {n}")) for n, line in enumerate(lines, 1) if line.strip()
    ]


def text_row(line: str, where: str) -> dict[str, Any]:
    """A line of JSON lines whose `text` says something. Raises DataError, with the place, for any other."""
    try:
        row = parse_json(line)
        if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
            raise ValueError("no text")
        row["text"].encode()  # JSON may hold halves of characters, which no file can
    except ValueError as error:
        raise DataError("this line holds no text", where, f"write a JSON object a line: {ROW}") from error
    _without_nul(row["text"], where)
    return row


def _content(path: Path, what: str) -> bytes:
    try:
        data = path.read_bytes()
        plain = gzip.decompress(data) if path.suffix == ".gz" else data
        return plain.removeprefix(codecs.BOM_UTF8)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {what}: {reason}", str(path), "give a text file, plain or as .gz") from error


def _decoded(line: bytes, where: str) -> str:
    try:
        return _without_nul(line.decode().strip(), where)
    except UnicodeDecodeError as error:
        raise DataError("this line is not UTF-8", where, "save the file as UTF-8") from error


def _without_nul(text: str, where: str) -> str:
    """The text itself. Raises DataError where it holds NUL, which UTF-16 is full of and nobody can say."""
    if "\0" in text:
        raise DataError("this line holds a NUL character", where, "take it out, or save the file as UTF-8")
    return text
