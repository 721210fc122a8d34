"""Rows of benchmark data: from a file, a folder or the hub, as plain mappings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rba.data import audio
from rba.errors import AudioError, DataError
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.evaluation.benchmarks.tables import READERS, Placed, Record, placed, read
from rba.files import local
from rba.inputs import given, is_url

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")


def records(settings: BenchmarkSettings) -> Iterator[Placed]:
    """All rows of the settings' subset and split, each with its place.

    A file is read as its ending says. In a folder the rows are looked for as `[<subset>/]<split>` and `manifest`, with
    any of those endings, and as parquet shards `<split>-00000...`. Anything else is a hub id. Raises DataError where
    there are none or they cannot be read.
    """
    path = given(settings.source)
    if not path.exists():
        yield from placed(_hub(settings), settings.source)
        return
    files = [path] if path.is_file() else _found(path, settings)
    if not files:
        fix = f"put {settings.split}.jsonl or manifest.jsonl there, or name the file itself"
        raise DataError(f"no rows for benchmark {settings.name}", str(path), fix)
    for file in files:
        yield from placed(read(file), file)


def check_source(settings: BenchmarkSettings) -> None:
    """Raise DataError for a source that is neither here nor can be on the hub, whose ids are "name" or "owner/name"."""
    source = settings.source
    if is_url(source) or local(source).exists():
        return
    if not _HUB_ID.fullmatch(source) or Path(source).suffix in READERS:
        what = f"benchmark {settings.name} has no data: no such file or folder is here"
        raise DataError(what, source, "check the path, or give a hub id such as owner/name")


def folder_of(settings: BenchmarkSettings) -> Path:
    """The folder that paths of clips are relative to."""
    path = given(settings.source)
    return path.parent if path.is_file() else path


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what a row of another form raises (no such column, no mapping, no text) into a DataError with its place."""
    fix = "compare it with the layout in docs/benchmarks.md, or take it out"
    try:
        yield
    except LookupError as error:
        raise DataError(f"a row lacks {error}", where, fix) from error
    except (AttributeError, TypeError) as error:
        raise DataError(f"a row is of another form: {error}", where, fix) from error


def text_in(row: Record, column: str) -> str:
    """The text in a column. Raises KeyError where the row has none, TypeError where it is no text: see `reading`."""
    value = row[column]
    if value is None:
        raise KeyError(column)
    if not isinstance(value, str):
        raise TypeError(f"{column} holds no text")
    return value


def clip(value: Any, folder: Path, where: str) -> bytes | None:
    """The bytes of a clip: from bytes, a path in `folder`, or what datasets makes of one; None for no clip.

    That is `{bytes, path}`, or decoded `{array, sampling_rate}`. Raises DataError, with the place `where` of its row,
    where the file is missing or the value is of another form.
    """
    if isinstance(value, Mapping) and value.keys() & {"bytes", "path", "array"}:
        if value.get("array") is not None and not value.get("bytes"):
            return _encoded(value["array"], value.get("sampling_rate"), where)
        value = value.get("bytes") or value.get("path")
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise DataError("a clip is of no form that is read", where, _CLIPS)
    try:
        return (folder / value).read_bytes()
    except (OSError, ValueError) as error:  # no path holds a NUL
        raise DataError(f"a benchmark's clip is missing: {folder / value}", where, "add it") from error


_CLIPS = "give a path, or {bytes, path} or {array, sampling_rate} as datasets has them"


def _encoded(samples: Any, rate: Any, where: str) -> bytes:
    """The file of a decoded clip: samples [n], or [channels, n] as datasets has them."""
    try:
        return audio.wav(np.asarray(samples, np.float32).T, rate)
    except (AudioError, TypeError, ValueError) as error:
        raise DataError("a clip's array and sampling_rate are no sound", where, _CLIPS) from error


def id_of(row: Record, number: int, *names: str) -> str:
    """What the row is called in the first of these columns that it has, else its number."""
    found = first(row, *names)
    return str(number if found is None else found)


def first(row: Record, *names: str) -> Any:
    """The value of the first of these columns that the row has; None if it has none."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _found(folder: Path, settings: BenchmarkSettings) -> list[Path]:
    places = [folder / settings.subset] if settings.subset else []
    for place in (*places, folder):
        for stem in (settings.split, "manifest"):
            for ending in READERS:
                if (path := place / f"{stem}{ending}").is_file():
                    return [path]
        if shards := sorted(place.glob(f"{settings.split}-[0-9]*.parquet")):
            return shards
    return []


def _hub(settings: BenchmarkSettings) -> Iterator[Record]:
    import datasets

    try:
        table = datasets.load_dataset(settings.source, settings.subset or None, split=settings.split)
    except Exception as error:  # a dozen kinds: no network, no such set, subset or split, no access
        fix = "check source, subset and split; or download it and name the folder"
        what = f"cannot load benchmark {settings.name}: no such file or folder is here, and the hub says: {error}"
        raise DataError(what, settings.source, fix) from error
    for column, feature in (table.features or {}).items():
        if isinstance(feature, datasets.Audio):
            table = table.cast_column(column, datasets.Audio(decode=False))
    yield from table
