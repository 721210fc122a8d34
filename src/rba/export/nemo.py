"""NeMo manifests: `<split>.jsonl`, audio paths relative to it, as NeMo resolves them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rba.data.audio import SAMPLE_RATE
from rba.export.example import Example
from rba.export.lines import pair_facts, write_clip, write_lines


def write(folder: Path, split: str, examples: Iterable[Example]) -> None:
    """Write the manifest of a split: `text` is what is said, `answer` what is to be answered."""
    write_lines(folder / f"{split}.jsonl", (_row(folder, example) for example in examples))


def _row(folder: Path, example: Example) -> dict[str, Any]:
    return {
        "audio_filepath": write_clip(folder, example),
        "duration": example.duration,
        "sample_rate": SAMPLE_RATE,
        "text": example.utterance.text,
        "answer": example.answer,
        "lang": "en",
        "speaker": example.utterance.speaker,
        "utterance_id": example.id,
        "instruction_id": example.utterance.instruction_id,
        **pair_facts(example),
    }
