"""A datasets folder: `data/<split>-NNNNN.parquet` that `datasets.load_dataset(folder)` opens, audio left undecoded."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rba.data import shards
from rba.data.utterance import Utterance
from rba.export.example import Example

ROWS = 500


@dataclass(frozen=True)
class Preference(Utterance):
    """An utterance with two answers, `prompt`, `chosen` and `rejected` under TRL's names; see `rba.export.example`."""

    prompt: str
    chosen: str
    rejected: str
    chosen_reward: float | None
    rejected_reward: float | None
    source: str
    round: int


def write(folder: Path, split: str, examples: Iterable[Example]) -> None:
    """Write the rows of a split, `ROWS` a file, with the columns of the run's own speech."""
    for number, batch in enumerate(_batches(examples)):
        cls = Preference if batch[0].pair else Utterance
        shards.write(folder / "data" / f"{split}-{number:05d}.parquet", [_row(e) for e in batch], cls)


def _batches(examples: Iterable[Example]) -> Iterable[list[Example]]:
    rest = iter(examples)
    while batch := list(itertools.islice(rest, ROWS)):
        yield batch


def _row(example: Example) -> Utterance:
    row = replace(example.utterance, id=example.id)
    return Preference(**vars(row), prompt=row.text, **vars(example.pair)) if example.pair else row
