"""Pieces that several formats share: WAV files beside the rows, rows as lines of JSON, facts about a row."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rba.export.example import Example


def write_clip(folder: Path, example: Example) -> str:
    """Write `audio/<utterance>.wav` unless it is there, and return that path relative to `folder`."""
    name = f"audio/{example.utterance.id}.wav"
    if not (folder / name).exists():
        (folder / "audio").mkdir(exist_ok=True)
        (folder / name).write_bytes(example.wav())
    return name


def to_line(row: dict[str, Any]) -> str:
    """One JSON object on one line, in UTF-8 as it is."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A file with one JSON object a line."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(map(to_line, rows))


def pair_facts(example: Example) -> dict[str, Any]:
    """The columns of a preference pair, without those that have no value; empty for a plain example."""
    return {k: v for k, v in vars(example.pair).items() if v is not None} if example.pair else {}
