"""ms-swift JSON lines: `<split>.jsonl` with `messages` and `audios`, and `rejected_response` for pairs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rba.export.example import Example
from rba.export.lines import write_clip, write_lines


def write(folder: Path, split: str, examples: Iterable[Example]) -> None:
    """Write the rows of a split; audio paths are relative to the folder, which ROOT_IMAGE_DIR names."""
    write_lines(folder / f"{split}.jsonl", (_row(folder, example) for example in examples))


def _row(folder: Path, example: Example) -> dict[str, Any]:
    row = {
        "messages": [*example.asked("<audio>"), {"role": "assistant", "content": example.answer}],
        "audios": [write_clip(folder, example)],
        "id": example.id,
        "instruction": example.utterance.text,
        "speaker": example.utterance.speaker,
    }
    if example.pair:
        row["rejected_response"] = example.pair.rejected
    return row
