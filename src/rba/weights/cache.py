"""The cache: where fetched models live, and who may write there."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rba.files import local
from rba.weights.registry import find

CONVERSION = 1
"""Raised when conversion changes: models that an older version put in the cache are then fetched again."""


def root() -> Path:
    """The folder rba keeps weights in: $RBA_CACHE, else $XDG_CACHE_HOME/rba, else ~/.cache/rba."""
    if own := os.environ.get("RBA_CACHE"):
        return local(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "rba"


def path(name: str) -> Path:
    """Where the registry model `name` lives once it is fetched."""
    return root() / "models" / name


def is_cached(name: str) -> bool:
    """Whether the registry model `name` is in the cache, from one of its pinned origins and in today's form."""
    source = find(name)
    try:
        facts = json.loads((path(name) / "source.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return facts.get("conversion") == CONVERSION and facts.get("sha256") in [o.hashes for o in source.origins]


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Keep other processes from fetching `name`; wait, and say so, while one of them does."""
    from filelock import FileLock, Timeout

    models = path(name).parent
    models.mkdir(parents=True, exist_ok=True)
    held = FileLock(models / f".{name}.lock")
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that fetches {name}", file=sys.stderr, flush=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()
