"""Input files and folders by URL: what lies on an object store or behind https is fetched into the cache when needed.

The copy belongs to the state in which the store has the input: one that was changed there is fetched again by the next
run, and what was made from the old one is then out of date.
"""

from __future__ import annotations

import os
import re
import shutil
from functools import cache
from pathlib import Path, PurePosixPath

from rba.errors import DataError
from rba.files import fingerprint, local, refusal
from rba.progress import progress

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(path: str | Path) -> bool:
    """Whether a path is a URL of fsspec: s3://bucket/file, https://host/file, ..."""
    return bool(_URL.match(str(path)))


def given(path: str | Path) -> Path:
    """Where the input `path` is on this machine: fetched if it is a URL, else as `local` says.

    Raises RecipeError for a URL that nothing can open, DataError where nothing is there, StoreError where the store
    refuses, and WorkspaceError where the cache cannot be written.
    """
    return _fetched(str(path)) if is_url(path) else local(path)


@cache
def _fetched(url: str) -> Path:
    """The copy of a file or a folder; asked for once a process, so that a run sees one state of it."""
    from rba.store.place import Place
    from rba.weights import cache as kept

    place = Place(url)
    there = place.states()
    if not there:
        raise DataError("there is nothing at this URL", url, "check its spelling and the network")
    name = PurePosixPath(place.url.split("?")[0]).name or "input"
    copy = kept.root() / "inputs" / fingerprint(place.url, there) / name
    if copy.exists():
        return copy
    arriving = copy.parent / f".{name}.{os.getpid()}.arriving"
    try:
        with progress(f"fetching {name}", len(there)) as bar:
            for part in there:
                target = arriving / part if part else arriving
                target.parent.mkdir(parents=True, exist_ok=True)
                place.get(part, target)
                bar.advance()
        if not copy.exists():  # another process may have been faster
            arriving.replace(copy)
    except OSError as error:
        raise refusal("cannot keep an input", copy, error) from error
    finally:
        if arriving.is_dir():
            shutil.rmtree(arriving, ignore_errors=True)
        else:
            arriving.unlink(missing_ok=True)
    return copy
