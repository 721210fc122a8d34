"""Rows of one file of benchmark data: JSON lines, JSON, parquet, CSV or TSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rba.document import parse_json
from rba.errors import DataError

T = TypeVar("T")
Record = Mapping[str, Any]
Placed = tuple[str, Record]
"""A row, and where it stands, for messages: "data/test.jsonl, row 3"; rows count from 1, without header and blanks."""


def placed(rows: Iterable[T], source: str | Path) -> Iterator[tuple[str, T]]:
    """Rows with their places in a source."""
    return ((f"{source}, row {number}", row) for number, row in enumerate(rows, 1))


def read(path: Path) -> list[Record]:
    """The rows of one file: JSON lines, a JSON list (or the list under "Data" or "data"), parquet, CSV or TSV.

    Raises DataError for a file of another ending or that is damaged, and for a row that is no mapping.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError("a benchmark's file has no ending that is read", str(path), f"use {', '.join(READERS)}")
    rows = reader(path)
    for where, row in placed(rows, path):
        if not isinstance(row, Mapping):
            raise DataError("a row is no object", where, 'write it as {"column": value, ...}')
    return rows


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, without a byte order mark. Raises DataError where it cannot be read."""
    with _whole(str(path)):
        return path.read_text(encoding="utf-8-sig")


def lines(text: str) -> list[str]:
    """The lines of a text, ended by newlines alone: `splitlines` also cuts at U+2028, which JSON lines may hold."""
    return text.removesuffix("\n").split("\n")


@contextmanager
def _whole(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"benchmark data cannot be read: {reason}", where, "check that the file is whole") from error


def _parquet(path: Path) -> list[Record]:
    import pyarrow.parquet as pq

    with _whole(str(path)):
        return pq.read_table(path).to_pylist()


def _parsed(text: str) -> Any:
    """The value of a piece of JSON. Raises ValueError where it is none, or holds what no file can."""
    tree = parse_json(text)
    try:
        json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half a character") from error
    return tree


def _json_lines(path: Path) -> list[Record]:
    rows: list[Record] = []
    for line in filter(str.strip, lines(text_of(path))):
        with _whole(f"{path}, row {len(rows) + 1}"):
            rows.append(_parsed(line))
    return rows


def _json(path: Path) -> list[Record]:
    text = text_of(path)
    with _whole(str(path)):
        tree = _parsed(text)
    rows = tree
    if isinstance(tree, dict):
        rows = next((tree[key] for key in ("Data", "data", "questions") if tree.get(key) is not None), None)
    if not isinstance(rows, list):
        raise DataError("benchmark data hold no list of rows", str(path), 'give a list, or {"data": [...]}')
    return rows


def _csv(path: Path, **form: Any) -> list[Record]:
    # A StringIO keeps the line breaks inside quotes, which a list of lines has lost.
    rows: list[Record] = []
    table = csv.DictReader(io.StringIO(text_of(path), newline=""), **form)
    try:
        for row in table:
            rows.append(row)
    except csv.Error as error:
        fix = "check that the file is whole and its quotes are closed"
        raise DataError(f"a table cannot be read: {error}", f"{path}, row {len(rows) + 1}", fix) from error
    return rows


def _tsv(path: Path) -> list[Record]:
    return _csv(path, delimiter="\t", quoting=csv.QUOTE_NONE)


READERS: dict[str, Callable[[Path], list[Record]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _tsv,
}
"""Who reads a file of which ending; in a folder the first that is there is taken."""
