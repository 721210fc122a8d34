"""What a report is made from: everything in the run folder, with what is missing left empty.

Utterances are read without their audio, so that a large run fits in memory; `audio_of` fetches that of a chosen few.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rba.alignment.variants import trained
from rba.data.instruction import Instruction
from rba.errors import DataError
from rba.evaluation.answers import Answer
from rba.evaluation.results import FILE, Result, load_results
from rba.recipe import CONNECT, Recipe
from rba.report.names import model_order
from rba.workspace import Workspace

_SPOKEN = ("id", "instruction_id", "voice", "split", "speaker", "acoustics", "duration")


@dataclass(frozen=True)
class Spoken:
    """An utterance without text and audio; `duration` in seconds."""

    id: str
    instruction_id: str
    voice: int
    split: str
    speaker: str
    acoustics: str
    duration: float


@dataclass(frozen=True)
class Source:
    """A run as the report sees it.

    `notes` and `seconds` are by stage; `answers` maps an utterance's id, or for models that read the text an
    instruction's, to the answer of each model.
    """

    instructions: list[Instruction] = field(default_factory=list)
    utterances: list[Spoken] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)


def read(workspace: Workspace, recipe: Recipe) -> Source:
    """Read what `recipe` makes of a run folder: what another one left there is not the run's.

    Missing pieces stay empty; DataError or WorkspaceError for what is there but damaged.
    """
    root, own = workspace.root, stages_of(recipe)
    found = [name for name in own if (root / name / "manifest.json").is_file()]
    manifests = {name: workspace.stage(name).manifest for name in sorted(found, key=stage_order)}
    return Source(
        instructions=workspace.stage("synthesis").read(Instruction),
        utterances=[Spoken(**row) for row in _rows(root / "speech", _SPOKEN)],
        results=load_results(root) if (root / "evaluation" / FILE).is_file() else [],
        records=[record for record in workspace.records() if _stage(record) in (None, *own)],
        notes={name: manifest.get("notes", {}) for name, manifest in manifests.items()},
        seconds={name: manifest["seconds"] for name, manifest in manifests.items() if "seconds" in manifest},
        answers=_replies(workspace.stage("evaluation").read(Answer)),
    )


def _stage(record: dict[str, Any]) -> Any:
    """The stage that a logged record is about; None for one that is about the run."""
    return record.get("what") if record.get("stage") == "run" else record.get("stage")


def stages_of(recipe: Recipe) -> list[str]:
    """The names of a recipe's stages, in order."""
    start = ["connect"] if recipe.model == CONNECT else []
    return ["synthesis", "speech", *start, *(f"align/{name}" for name in trained(recipe.align)), "evaluation"]


def stage_order(name: str) -> tuple[int, tuple[int, str]]:
    """Sort key: the stages as they run, and of alignment the methods in their fixed order."""
    rooms = ("synthesis", "speech", "connect", "align", "evaluation")
    room, _, method = name.partition("/")
    return (rooms.index(room) if room in rooms else len(rooms)), model_order(method)


def audio_of(workspace: Workspace, ids: Iterable[str]) -> dict[str, bytes]:
    """The FLAC bytes of some utterances, by id."""
    wanted = sorted(set(ids))
    folder = workspace.root / "speech"
    rows = _rows(folder, ("id", "audio"), [("id", "in", wanted)]) if wanted else []
    return {row["id"]: row["audio"]["bytes"] for row in rows if row["audio"] and row["audio"]["bytes"]}


def _rows(folder: Path, columns: Iterable[str], filters: Any = None) -> list[dict[str, Any]]:
    """Some columns of all shards of a stage. Raises DataError for a damaged shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            found += pq.read_table(path, columns=list(columns), filters=filters).to_pylist()
        except (OSError, pa.ArrowException) as error:
            fix = "delete the file and run the stage again"
            raise DataError("shard is missing or damaged", str(path), fix) from error
    return found


def _replies(answers: Iterable[Answer]) -> dict[str, dict[str, Answer]]:
    found: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        found.setdefault(answer.utterance_id or answer.instruction_id, {})[answer.model] = answer
    return found
