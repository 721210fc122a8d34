"""The run folder: stage folders with manifests, atomic writes, one run at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rba.errors import WorkspaceError

Row = TypeVar("Row")


def fingerprint(*parts: Any) -> str:
    """A hash of settings and input hashes (anything JSON can hold): a stage is current while this stays the same."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically. Raises WorkspaceError where the disk refuses."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        fix = "free some space or choose another run folder"
        raise WorkspaceError(f"cannot write: {error.strerror or error}", str(path), fix) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


class StageFolder:
    """A stage's folder: numbered parquet shards and a `manifest.json` that says whether and from what it was made."""

    def __init__(self, path: Path):
        self.path = path
        self.manifest_path = path / "manifest.json"
        self.manifest: dict[str, Any] = {}
        if self.manifest_path.is_file():
            self.manifest = json.loads(self.manifest_path.read_text())

    def open(self, mark: str) -> bool:
        """Begin, resume or reuse the stage for fingerprint `mark`; True if it is complete and needs no work.

        What another fingerprint left behind is removed first; finished shards of the same fingerprint stay.
        """
        if self.manifest.get("fingerprint") != mark:
            if self.path.exists():
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True)
            self.manifest = {"fingerprint": mark, "complete": False, "notes": {}, "started": time.time()}
            self._save()
        for partial in self.path.glob(".*.partial"):
            partial.unlink()
        return bool(self.manifest["complete"])

    def shard(self, index: int) -> Path:
        """The path of shard `index`."""
        return self.path / f"part-{index:05d}.parquet"

    def has_shard(self, index: int) -> bool:
        """Whether shard `index` was written whole."""
        return self.shard(index).is_file()

    def write_shard(self, index: int, rows: Sequence[Any], cls: type) -> None:
        """Write shard `index`, atomically."""
        from rba.data import shards

        shards.write(self.shard(index), rows, cls)

    def read(self, cls: type[Row]) -> list[Row]:
        """All rows of all shards, in shard order. Raises DataError for a damaged shard."""
        from rba.data import shards

        return [row for path in sorted(self.path.glob("part-*.parquet")) for row in shards.read(path, cls)]

    def note(self, key: str, value: Any) -> None:
        """Keep a fact about the stage (counts, shares, why items were dropped) in its manifest."""
        self.manifest["notes"][key] = value
        self._save()

    @property
    def notes(self) -> dict[str, Any]:
        """The facts kept with `note`."""
        return self.manifest.get("notes", {})

    @property
    def is_complete(self) -> bool:
        """Whether the stage has finished."""
        return bool(self.manifest.get("complete"))

    def complete(self) -> None:
        """Mark the stage as finished, with the hash of every file it holds."""
        files = sorted(p for p in self.path.rglob("*") if p.is_file() and p != self.manifest_path)
        self.manifest["files"] = {str(p.relative_to(self.path)): file_hash(p) for p in files}
        self.manifest["complete"] = True
        self.manifest["seconds"] = round(time.time() - self.manifest["started"], 1)
        self._save()

    def output_hash(self) -> str:
        """A hash of all the stage's files: the input mark of the stages that read it."""
        return fingerprint(self.manifest.get("files", {}))

    def _save(self) -> None:
        write_json(self.manifest_path, self.manifest)


class Workspace:
    """A run folder. `lock()` keeps a second run out; `stage(name)` gives a stage's folder; `log` adds to metrics.jsonl."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process. Raises WorkspaceError if another run holds it or it is not writable."""
        from filelock import FileLock, Timeout

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / ".lock")
            lock.acquire(timeout=0)
        except Timeout as error:
            fix = "wait for it to end or choose another folder"
            raise WorkspaceError("another run holds this folder", str(self.root), fix) from error
        except OSError as error:
            fix = "choose a folder you can write to"
            raise WorkspaceError(f"cannot use the run folder: {error.strerror or error}", str(self.root), fix) from error
        try:
            yield
        finally:
            lock.release()

    def stage(self, name: str) -> StageFolder:
        """The folder of a stage, e.g. "speech" or "align/rba-group"."""
        return StageFolder(self.root / name)

    def log(self, stage: str, record: dict[str, Any]) -> None:
        """Append one record to metrics.jsonl."""
        self.root.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": round(time.time(), 3), "stage": stage, **record})
        with (self.root / "metrics.jsonl").open("a") as stream:
            stream.write(line + "\n")
