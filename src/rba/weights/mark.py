"""What stands for files and models in a fingerprint, where they may be too large to hash at every start."""

from __future__ import annotations

from pathlib import Path

from rba.files import fingerprint, local
from rba.weights.registry import SOURCES


def file_mark(path: Path) -> tuple[str, int, int]:
    """A file's path, size and modification time, which stand for its content."""
    facts = path.stat() if path.is_file() else None
    return (str(path), facts.st_size, facts.st_mtime_ns) if facts else (str(path), 0, 0)


def folder_mark(name: str) -> str:
    """A model's name, and the state of its files where it is a local folder."""
    folder = local(name)
    if not name or not folder.is_dir():
        return name
    # cards tell of results and are written anew
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "README.md"]
    return fingerprint(name, [file_mark(path) for path in files])


def weights_mark(name: str) -> str:
    """As `folder_mark`, for what `resolve` loads: a registry name stays itself, whatever folder has it too."""
    return name if name in SOURCES else folder_mark(name)
