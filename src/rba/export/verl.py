"""verl rows: `<split>.parquet` with prompt, audios and the teacher's answer as ground truth of the reward."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rba.errors import DataError
from rba.export.example import Example
from rba.export.lines import write_clip

ROWS = 500
_TEXT = pa.string()
_MESSAGE = pa.struct([("role", _TEXT), ("content", _TEXT)])
_EXTRA = [("split", _TEXT), ("index", pa.int64()), ("id", _TEXT), ("instruction_id", _TEXT)]
_SCHEMA = pa.schema(
    [
        ("data_source", _TEXT),
        ("prompt", pa.list_(_MESSAGE)),
        ("audios", pa.list_(_TEXT)),
        ("ability", _TEXT),
        ("reward_model", pa.struct([("style", _TEXT), ("ground_truth", _TEXT)])),
        ("extra_info", pa.struct([*_EXTRA, ("instruction", _TEXT), ("speaker", _TEXT)])),
    ]
)


def write(folder: Path, split: str, examples: Iterable[Example]) -> None:
    """Write the rows of a split. Raises DataError for pairs: verl learns from rewards and has no place for them."""
    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(folder / f"{split}.parquet", _SCHEMA, compression="zstd") as writer:
        for index, example in enumerate(examples):
            rows.append(_row(folder, split, index, example))
            if len(rows) == ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))


def _row(folder: Path, split: str, index: int, example: Example) -> dict[str, Any]:
    if example.pair:
        raise DataError("verl rows hold no preference pairs", "--pairs", "leave it out or export to hf or swift")
    spoken = example.utterance
    return {
        "data_source": "rba",
        "prompt": example.asked("<audio>"),
        "audios": [write_clip(folder, example)],
        "ability": spoken.topic,
        "reward_model": {"style": "rule", "ground_truth": spoken.response},
        "extra_info": {
            "split": split,
            "index": index,
            "id": example.id,
            "instruction_id": spoken.instruction_id,
            "instruction": spoken.text,
            "speaker": spoken.speaker,
        },
    }
