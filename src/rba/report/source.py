"""What a report is made from: everything in the run folder, with what is missing left empty.

Utterances are read without their audio, so that a large run fits in memory; `audio_of` fetches that of a chosen few.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rba.data.instruction import Instruction
from rba.errors import DataError
from rba.workspace import Workspace

HEARD = ("heard", "transcript")
_SPOKEN = ("id", "instruction_id", "voice", "split", "speaker", "acoustics", "duration", "wer")


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
    wer: float | None


@dataclass(frozen=True)
class Source:
    """A run as the report sees it.

    `notes` and `seconds` are by stage; `answers` maps an utterance's id, or for models that read the text an
    instruction's, to {model: text}; `heard` maps an utterance's id to what the connector read off it.
    """

    instructions: list[Instruction] = field(default_factory=list)
    utterances: list[Spoken] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    answers: dict[str, dict[str, str]] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)


def read(workspace: Workspace) -> Source:
    """Read a run folder. Missing pieces stay empty; DataError or WorkspaceError for what is there but damaged."""
    stages = [p.parent.relative_to(workspace.root).as_posix() for p in sorted(workspace.root.rglob("manifest.json"))]
    manifests = {name: workspace.stage(name).manifest for name in stages}
    answers, heard = _answers(workspace.root / "evaluation")
    return Source(
        instructions=workspace.stage("synthesis").read(Instruction),
        utterances=[Spoken(**row) for row in _rows(workspace.root / "speech", _SPOKEN)],
        results=read_results(workspace),
        records=workspace.records(),
        notes={name: manifest.get("notes", {}) for name, manifest in manifests.items()},
        seconds={name: manifest["seconds"] for name, manifest in manifests.items() if "seconds" in manifest},
        answers=answers,
        heard=heard,
    )


def read_results(workspace: Workspace) -> list[dict[str, Any]]:
    """The rows of evaluation/results.json; none where there is no such file. Raises DataError where it is damaged."""
    path = workspace.root / "evaluation" / "results.json"
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [row for row in rows if {"model", "metric", "value"} <= row.keys()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError("the results cannot be read", str(path), "delete the file and run rba evaluate again") from error


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


def _answers(folder: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """All stored answers, and what was heard, by the id of what was answered."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    answers: dict[str, dict[str, str]] = {}
    heard: dict[str, str] = {}
    for path in sorted(folder.rglob("*.parquet")):
        try:
            rows = pq.read_table(path).to_pylist()
        except (OSError, pa.ArrowException) as error:
            fix = "delete the file and run rba evaluate again"
            raise DataError("shard is missing or damaged", str(path), fix) from error
        for row in rows:
            key = row.get("utterance_id") or row.get("instruction_id")
            if key and row.get("model") in HEARD:
                heard[key] = row["text"]
            elif key and row.get("model"):
                answers.setdefault(key, {})[row["model"]] = row.get("text") or ""
            if key and row.get("heard"):
                heard[key] = row["heard"]
    return answers, heard
