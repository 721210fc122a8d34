"""What of a run is kept together: each finished stage with its manifest, and the rest of the folder with an index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rba.document import parse_json
from rba.errors import StoreError, WorkspaceError
from rba.files import file_hash
from rba.workspace import StageFolder

MANIFEST = "manifest.json"
INDEX = "files.json"
ROOT_FILES = ("config.yaml", "metrics.jsonl", "report.html")
FINAL = "final"
REST = ""


@dataclass(frozen=True)
class Group:
    """Files by their path below the run folder, with their SHA-256, and the `manifest` that is written after them.

    `name` is the stage's folder, "" for the rest of the run; `manifest` is the text of `manifest_name`.
    """

    name: str
    files: Mapping[str, str]
    manifest: bytes

    @property
    def manifest_name(self) -> str:
        """Where the manifest is, below the run folder."""
        return manifest_name(self.name)

    @property
    def title(self) -> str:
        """The group's name in messages."""
        return self.name or "rest"


def manifest_name(group: str) -> str:
    """Where the manifest of a group is, below the run folder."""
    return f"{group}/{MANIFEST}" if group else INDEX


def read_group(name: str, manifest: bytes, where: str) -> Group:
    """The group that a manifest describes; a stage's has a fingerprint.

    Raises StoreError for one that cannot be read or points out of the run.
    """
    try:
        facts = parse_json(manifest)
        files = {str(path): str(digest) for path, digest in facts["files"].items()}
        if name and not isinstance(facts["fingerprint"], str):
            raise TypeError(facts["fingerprint"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError("the manifest cannot be read", where, "upload the run again with --replace") from error
    for path in files:
        if path.startswith("/") or ".." in PurePosixPath(path).parts or "\\" in path:
            raise StoreError(f"the manifest names a file outside of the run: {path}", where, "do not use this copy")
    return Group(name, {f"{name}/{path}" if name else path: digest for path, digest in files.items()}, manifest)


def is_stage(name: str) -> bool:
    """Whether a folder of a run with a manifest in it is a stage's: "speech", "align/sft"."""
    first, *rest = PurePosixPath(name).parts or ("",)
    hidden = any(part.startswith(".") for part in (first, *rest))
    return bool(first) and not hidden and len(rest) == (first == "align") and first != FINAL


def stages(run: Path) -> list[StageFolder]:
    """The stage folders of a run. Raises WorkspaceError for a folder that holds none."""
    paths = sorted([*run.glob(f"*/{MANIFEST}"), *run.glob(f"*/*/{MANIFEST}")])
    found = [StageFolder(path.parent) for path in paths if is_stage(path.parent.relative_to(run).as_posix())]
    if not found:
        raise WorkspaceError("there is no stage of a run here", str(run), "give a run folder, such as runs/tiny")
    return found


def group_of(run: Path, stage: StageFolder) -> Group:
    """A finished stage."""
    name = stage.path.relative_to(run).as_posix()
    return read_group(name, stage.manifest_path.read_bytes(), str(stage.manifest_path))


def final_files(run: Path) -> list[Path]:
    """The files of the final models; hidden ones are writes under way."""
    found = sorted(path for path in (run / FINAL).rglob("*") if path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(run).parts)]


def rest_of(run: Path) -> Group:
    """What stands beside the stages and is worth keeping: recipe, log, report and final models."""
    files = [*(run / name for name in ROOT_FILES if (run / name).is_file()), *final_files(run)]
    hashes = {path.relative_to(run).as_posix(): file_hash(path) for path in files}
    return Group(REST, hashes, index(hashes))


def index(files: Mapping[str, str]) -> bytes:
    """The text that `read_group` reads as these files of the group ""."""
    return (json.dumps({"files": dict(files)}, indent=1, sort_keys=True) + "\n").encode()
