"""WebDataset shards: `<split>-NNNNNN.tar` with `<id>.wav` and `<id>.json` side by side."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rba.export.example import Example
from rba.export.lines import pair_facts, to_line

ROWS = 1000


def write(folder: Path, split: str, examples: Iterable[Example]) -> None:
    """Write the shards of a split, `ROWS` examples each; the same examples give the same bytes."""
    rest = iter(examples)
    for number in itertools.count():
        first = next(rest, None)
        if first is None:
            return
        # headers without times, owners and names of the machine
        with tarfile.open(folder / f"{split}-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for example in itertools.chain([first], itertools.islice(rest, ROWS - 1)):
                _add(tar, f"{example.id}.wav", example.wav())
                _add(tar, f"{example.id}.json", to_line(_facts(example)).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _facts(example: Example) -> dict[str, Any]:
    spoken = example.utterance
    return {
        "id": example.id,
        "instruction_id": spoken.instruction_id,
        "text": spoken.text,
        "answer": example.answer,
        "speaker": spoken.speaker,
        "topic": spoken.topic,
        "difficulty": spoken.difficulty,
        "duration": example.duration,
        **pair_facts(example),
    }
