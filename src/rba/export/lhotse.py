"""lhotse manifests: `recordings_`, `supervisions_` and `cuts_<split>.jsonl.gz`, audio paths relative to the folder."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rba.data.audio import SAMPLE_RATE
from rba.export.example import Example
from rba.export.lines import pair_facts, to_line, write_clip


def write(folder: Path, split: str, examples: Iterable[Example]) -> None:
    """Write the three manifests of a split; answers are custom fields of supervisions and of cuts."""
    recorded = set()
    with contextlib.ExitStack() as stack:
        add = {
            kind: stack.enter_context(_manifest(folder / f"{kind}_{split}.jsonl.gz"))
            for kind in ("recordings", "supervisions", "cuts")
        }
        for example in examples:
            recording, supervision = _recording(folder, example), _supervision(example)
            if example.utterance.id not in recorded:
                recorded.add(example.utterance.id)
                add["recordings"](recording)
            add["supervisions"](supervision)
            add["cuts"](_cut(example, recording, supervision))


@contextlib.contextmanager
def _manifest(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A gzip file of JSON lines without the time and the name that its header would hold."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:

        def add(row: dict[str, Any]) -> None:
            packed.write(to_line(row).encode())

        yield add


def _recording(folder: Path, example: Example) -> dict[str, Any]:
    return {
        "id": example.utterance.id,
        "sources": [{"type": "file", "channels": [0], "source": write_clip(folder, example)}],
        "sampling_rate": SAMPLE_RATE,
        "num_samples": len(example.pcm),
        "duration": example.duration,
        "channel_ids": [0],
    }


def _supervision(example: Example) -> dict[str, Any]:
    spoken = example.utterance
    return {
        "id": example.id,
        "recording_id": spoken.id,
        "start": 0.0,
        "duration": example.duration,
        "channel": 0,
        "text": spoken.text,
        "language": "English",
        "speaker": spoken.speaker,
        "custom": _custom(example),
    }


def _cut(example: Example, recording: dict[str, Any], supervision: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": example.id,
        "start": 0.0,
        "duration": example.duration,
        "channel": 0,
        "supervisions": [supervision],
        "recording": recording,
        "custom": _custom(example),
        "type": "MonoCut",
    }


def _custom(example: Example) -> dict[str, Any]:
    return {"answer": example.answer, "instruction_id": example.utterance.instruction_id, **pair_facts(example)}
