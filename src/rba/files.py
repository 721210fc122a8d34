"""Files that are never half-written, and the hashes that tell whether they changed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from rba.errors import RecipeError, WorkspaceError


def local(path: str | Path) -> Path:
    """A path as the user wrote it, with "~" made the home folder. Raises RecipeError for "~name" of nobody."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise RecipeError("nobody here has this home folder", str(path), "write ~/ for your own") from error


def disk_full(error: BaseException) -> bool:
    """Whether an error is that of a full disk or a used-up quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


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
    with writing(path, "cannot write") as stream:
        stream.write(data)


@contextlib.contextmanager
def writing(path: Path, complaint: str) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file `path` at the end of the block, or nothing does.

    Raises WorkspaceError, which begins with `complaint`, where the disk refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            yield stream
        settle(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise refusal(complaint, path, error) from error


def settle(arriving: Path, target: Path) -> None:
    """Give a finished file or folder the name `target`, which no folder bears, once the disk holds all of it.

    What is there after a power cut is whole. Raises OSError where the disk refuses.
    """
    for path in (arriving, *arriving.rglob("*")) if arriving.is_dir() else (arriving,):
        _sync(path)
    arriving.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    """Bring to the disk what a file or the list of a folder holds."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError:
        if not path.is_dir():  # some network file systems know no sync of a folder
            raise
    finally:
        os.close(number)


def refusal(what: str, path: Path, error: OSError) -> WorkspaceError:
    """The error for a disk that will not take what it is given."""
    full = error.errno in (None, errno.ENOSPC, errno.EDQUOT)
    fix = "free some space or choose another run folder" if full else "name another place"
    return WorkspaceError(f"{what}: {error.strerror or error}", str(path), fix)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
