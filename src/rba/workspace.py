"""The run folder: stage folders with manifests, atomic writes, one run at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rba.document import parse_json
from rba.errors import WorkspaceError
from rba.files import file_hash, fingerprint, refusal, write_bytes, write_json, write_text

__all__ = [
    "StageFolder",
    "Workspace",
    "file_hash",
    "fingerprint",
    "keep_only",
    "write_bytes",
    "write_json",
    "write_text",
]

Row = TypeVar("Row")


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        manifest = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError("the stage's manifest cannot be read", str(path), f"delete {path.parent}") from error
    if not isinstance(manifest, dict) or "fingerprint" not in manifest:
        raise WorkspaceError("this is not a stage's manifest", str(path), f"move {path.parent} away")
    return manifest


def keep_only(shared: Path, what: str, mark: str) -> Path:
    """The folder `what-mark` in `shared`; those of other marks, which hold no hyphen, are out of date and removed."""
    place = shared / f"{what}-{mark}"
    for other in shared.glob(f"{what}-*"):
        if other != place and "-" not in other.name.removeprefix(f"{what}-"):
            shutil.rmtree(other, ignore_errors=True)
    return place


class StageFolder:
    """A stage's folder: numbered parquet shards and a `manifest.json` that says whether and from what it was made."""

    def __init__(self, path: Path):
        self.path = path
        self.manifest_path = path / "manifest.json"
        self.manifest: dict[str, Any] = _read_manifest(self.manifest_path)
        self._worked = float(self.manifest.get("seconds", 0))
        self._opened: float | None = None

    def open(self, mark: str, shards: str = "") -> bool:
        """Begin, resume or reuse the stage for fingerprint `mark`; True if it is complete and needs no work.

        What another fingerprint left behind is set aside first, and removed when something has been made in its place;
        until then `put_back` brings it back, and so does opening it under its own fingerprint. Finished shards of the
        same fingerprint stay, and so do those of another one that were made from the same `shards`, the fingerprint of
        what shards alone depend on. A complete stage that has lost a file since is resumed. Raises WorkspaceError for a
        folder that is not a stage's.
        """
        try:
            if self.manifest.get("fingerprint") != mark and self._aside == mark:
                self.put_back()
            if self.manifest.get("fingerprint") != mark:
                if shards and self.manifest.get("shards") == shards:
                    self.manifest |= {"fingerprint": mark, "complete": False}
                else:
                    self._clear()
                    self.manifest = {"fingerprint": mark, "complete": False, "notes": {}}
                    self.manifest |= {"shards": shards} if shards else {}
                    self._worked = 0.0
                self._save()
            for partial in list(self.path.rglob(".*.partial")):
                shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
        except OSError as error:
            raise refusal("cannot prepare the stage", self.path, error) from error
        if self.manifest["complete"] and not self.is_complete:
            self.manifest["complete"] = False
            self._save()
        if not self.is_complete:
            self._opened = time.monotonic()
        return self.is_complete

    def is_current(self, mark: str) -> bool:
        """Whether the stage has finished for fingerprint `mark`."""
        return self.is_complete and self.manifest.get("fingerprint") == mark

    def _clear(self) -> None:
        """Set what is in the folder aside, until something has been made in its place."""
        self._drop_stale()
        if self.path.exists():
            foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if foreign and not self.manifest:
                fix = "move it away or choose another run folder"
                raise WorkspaceError(f"the folder holds files that are not rba's: {foreign[0]}", str(self.path), fix)
            self.path.replace(self._stale)
        self.path.mkdir(parents=True)

    @property
    def _stale(self) -> Path:
        return self.path.with_name(f".{self.path.name}.stale")

    @property
    def _aside(self) -> str:
        """The fingerprint of what is set aside; empty where nothing is."""
        return str(_read_manifest(self._stale / self.manifest_path.name).get("fingerprint", ""))

    def _drop_stale(self) -> None:
        if self._stale.exists():
            shutil.rmtree(self._stale)

    def put_back(self) -> bool:
        """Bring back what `open` has set aside, if nothing was made in its place yet; True if it is back."""
        made = any(p != self.manifest_path and not p.name.startswith(".") for p in self.path.glob("*"))
        if made or not self._stale.exists():
            return False
        if self.path.exists():  # not where a kill came before it was made
            shutil.rmtree(self.path)
        self._stale.replace(self.path)
        self.manifest = _read_manifest(self.manifest_path)
        self._worked, self._opened = float(self.manifest.get("seconds", 0)), None
        return True

    def shard(self, index: int) -> Path:
        """The path of shard `index`."""
        return self.path / f"part-{index:05d}.parquet"

    def has_shard(self, index: int) -> bool:
        """Whether shard `index` was written whole."""
        return self.shard(index).is_file()

    def write_shard(self, index: int, rows: Sequence[Any], cls: type) -> None:
        """Write shard `index`, atomically."""
        from rba.data import shards

        self._drop_stale()
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
        """Whether the stage has finished and still has all its files."""
        files = self.manifest.get("files", {})
        return bool(self.manifest.get("complete")) and all((self.path / name).is_file() for name in files)

    def complete(self) -> None:
        """Mark the stage as finished, with the hash of every file it holds."""
        files = sorted(p for p in self.path.rglob("*") if p.is_file() and p != self.manifest_path)
        self.manifest["files"] = {str(p.relative_to(self.path)): file_hash(p) for p in files}
        self.manifest["complete"] = True
        self._save()
        self._drop_stale()

    def output_hash(self) -> str:
        """A hash of all the stage's files: the input mark of the stages that read it."""
        return fingerprint(self.manifest.get("files", {}))

    def _save(self) -> None:
        """Write the manifest, with the seconds worked so far: those of interrupted runs count, the pauses do not."""
        if self._opened is not None:
            self.manifest["seconds"] = round(self._worked + time.monotonic() - self._opened, 1)
        write_json(self.manifest_path, self.manifest)


class Workspace:
    """A run folder: `lock()` keeps a second run out, `stage(name)` is a stage's folder, `log` adds to metrics.jsonl."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.metrics_path = self.root / "metrics.jsonl"

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
            reason = error.strerror or error
            raise WorkspaceError(f"cannot use the run folder: {reason}", str(self.root), fix) from error
        try:
            for partial in self.root.glob(".*.partial"):
                shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
            yield
        finally:
            lock.release()

    def stage(self, name: str) -> StageFolder:
        """The folder of a stage, e.g. "speech" or "align/rba-group"."""
        return StageFolder(self.root / name)

    def log(self, stage: str, record: dict[str, Any]) -> None:
        """Append one record to metrics.jsonl. Raises WorkspaceError where the disk refuses."""
        line = json.dumps({"time": round(time.time(), 3), "stage": stage, **record}) + "\n"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self.metrics_path.open("ab+") as stream:
                if size := stream.seek(0, os.SEEK_END):
                    stream.seek(size - 1)
                    # a kill or a full disk may have left half a line
                    line = line if stream.read(1) == b"\n" else "\n" + line
                stream.write(line.encode())
        except OSError as error:
            raise refusal("cannot write", self.metrics_path, error) from error

    def records(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The records of metrics.jsonl, of one stage or all, oldest first; half-written lines are left out."""
        if not self.metrics_path.is_file():
            return []
        found = []
        for line in self.metrics_path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                record = parse_json(line)
                if isinstance(record, dict) and stage in (None, record.get("stage")):
                    found.append(record)
        return found

    def forget(self, stage: str) -> None:
        """Drop a stage's records from metrics.jsonl: it begins anew."""
        every = self.records()
        kept = [record for record in every if record.get("stage") != stage]
        if len(kept) < len(every):
            self.rewrite(kept)

    def rewrite(self, records: Sequence[dict[str, Any]]) -> None:
        """Make these records all that metrics.jsonl holds."""
        write_text(self.metrics_path, "".join(json.dumps(record) + "\n" for record in records))
