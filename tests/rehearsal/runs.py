"""Another run, whose speech is finished."""

from __future__ import annotations

from pathlib import Path

from rba.data.utterance import Utterance
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import Workspace


def spoken_run(place: Path, instructions: int = 4, voices: int = 3, split: str = "train", task: str = "") -> Path:
    """A run folder of such an instruction in a shard each; the first shard holds what is not trained on."""
    folder = Workspace(place).stage("speech")
    place.mkdir()
    (place / "config.yaml").write_text(f"task: {{prompt: '{task}'}}\n")
    folder.open("mark")
    rows = tiny_utterances(instructions, voices, split)
    parts = [tiny_utterances(1, 1, "test"), *(rows[at : at + 2 * voices] for at in range(0, len(rows), 2 * voices))]
    for number, part in enumerate(parts):
        folder.write_shard(number, part, Utterance)
    folder.complete()
    return place
