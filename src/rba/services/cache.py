"""Answers of servers on disk, by the hash of what was asked: a run that was stopped pays for nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rba.errors import WorkspaceError
from rba.files import fingerprint, write_bytes
from rba.services.service import Service
from rba.weights.cache import root


def key_of(service: Service, path: str, payload: Any) -> str:
    """What identifies a request: the server's address, the endpoint and the whole payload."""
    return fingerprint(service.base_url, path, payload)


def read(key: str) -> bytes | None:
    """The stored answer to a request, or None."""
    try:
        return _place(key).read_bytes()
    except OSError:
        return None


def write(key: str, answer: bytes) -> None:
    """Keep an answer; whole or not at all, whichever process is first or last. Raises WorkspaceError if it cannot."""
    try:
        write_bytes(_place(key), answer)
    except WorkspaceError as error:
        fix = "free some space, or name a folder that you can write to in RBA_CACHE"
        raise WorkspaceError(f"a server's answer is lost: {error.what}", error.where, fix) from error


def remove(key: str) -> None:
    """Forget the stored answer to a request, if there is one."""
    _place(key).unlink(missing_ok=True)


def _place(key: str) -> Path:
    return root() / "services" / key[:2] / f"{key}.json"
