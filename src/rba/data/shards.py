"""Parquet shards: atomic to write, checked when read, and readable by `datasets.load_dataset`."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from rba.data.audio import SAMPLE_RATE
from rba.errors import DataError
from rba.files import writing

Row = TypeVar("Row")

_AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_PLAIN = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), bytes: pa.binary()}


def _arrow_type(hint: Any) -> pa.DataType:
    """The arrow type of a dataclass field: plain types, `X | None` and `list[X]`."""
    if isinstance(hint, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    if typing.get_origin(hint) is list:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    return _PLAIN[hint]


def schema_of(cls: type) -> pa.Schema:
    """The arrow schema of a row dataclass; a bytes field named `audio` becomes the datasets `Audio` feature."""
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    types_ = [_AUDIO if n == "audio" else _arrow_type(hints[n]) for n in names]
    schema = pa.schema(list(zip(names, types_)))
    if "audio" not in names:
        return schema
    features = {n: _feature(t) for n, t in zip(names, types_)}
    features["audio"] = {"sampling_rate": SAMPLE_RATE, "decode": False, "_type": "Audio"}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    names = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64", pa.bool_(): "bool"}
    return {"dtype": names.get(kind, "binary"), "_type": "Value"}


def write(path: Path, rows: Sequence[Any], cls: type) -> None:
    """Write dataclass `rows` of type `cls` to a parquet file, atomically. Raises WorkspaceError if the disk refuses."""
    records = [{f.name: getattr(row, f.name) for f in dataclasses.fields(cls)} for row in rows]
    for record in records:
        if "audio" in record:
            record["audio"] = {"bytes": record["audio"], "path": f"{record['id']}.flac"}
    table = pa.Table.from_pylist(records, schema=schema_of(cls))
    with writing(path, "cannot write a shard") as stream:
        pq.write_table(table, stream, compression="zstd")


def read(path: Path, cls: type[Row]) -> list[Row]:
    """Read a parquet file back into dataclass rows. Raises DataError if it is missing, truncated or lacks a column."""
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    try:
        records = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        fix = "delete the file and run the stage again"
        raise DataError("shard is missing or damaged", str(path), fix) from error
    if records and (missing := [n for n in names if n not in records[0]]):
        raise DataError(f"shard lacks the columns {', '.join(missing)}", str(path), "write it again with this version")
    for record in records:
        if isinstance(record.get("audio"), dict):
            record["audio"] = record["audio"]["bytes"]
    return [cls(**{n: record[n] for n in names}) for record in records]
