"""A run folder with a little of another run's speech, to be mixed in in its place."""

from __future__ import annotations

import shutil
from itertools import groupby
from pathlib import Path

from rba.alignment.mix import SPEECH, speech_of
from rba.data import seeds, shards
from rba.data.utterance import Utterance
from rba.errors import DataError
from rba.files import local
from rba.workspace import Workspace

INSTRUCTIONS, VOICES = 2, 2
"""What is taken: as many instructions leave places in the updates for the run's own."""


def save_mixed(run: str, place: Path, seed: int) -> Path:
    """Save the first training instructions of a run, as its first shard with any has them, as the run folder `place`.

    They are those that the updates of a run of `seed` reach first. Raises WorkspaceError where the run's speech is not
    finished, DataError for a damaged shard and where there is nothing to learn.
    """
    place.mkdir(parents=True)
    if (local(run) / "config.yaml").is_file():
        shutil.copyfile(local(run) / "config.yaml", place / "config.yaml")
    folder = Workspace(place).stage(SPEECH)
    folder.open(run)
    folder.write_shard(0, _some(run, seed), Utterance)
    folder.complete()
    return place


def _some(run: str, seed: int) -> list[Utterance]:
    """Utterances of a few instructions."""
    for path in sorted(speech_of(run).path.glob("part-*.parquet")):
        rows = sorted(
            (row for row in shards.read(path, Utterance) if row.split == "train"),
            key=lambda row: (seeds.derive(seed, "train", row.instruction_id), row.voice),
        )
        spoken = [list(rows) for _, rows in groupby(rows, key=lambda row: row.instruction_id)]
        if spoken:
            return [row for rows in spoken[:INSTRUCTIONS] for row in rows[:VOICES]]
    raise DataError("this run has no training instruction to mix in", f"align.mix {run}", "leave it out")
