"""Input files and folders by URL: what lies on an object store or behind https is fetched into the cache when needed.

The copy belongs to the state in which the store has the input: one that was changed there is fetched again by the next
run, and what was made from the old one is then out of date.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rba.errors import DataError
from rba.files import fingerprint, local, refusal, settle
from rba.progress import progress

if TYPE_CHECKING:
    from rba.store.place import Place

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
    from filelock import FileLock

    from rba.store.place import Place
    from rba.weights import cache as kept

    place = Place(url)
    there = place.states()
    if not there:
        raise DataError("there is nothing at this URL", url, "check its spelling and the network")
    name = PurePosixPath(place.url.split("?")[0]).name or "input"
    copy = kept.root() / "inputs" / fingerprint(place.url, there) / name
    for part in there:
        if part.startswith("/") or ".." in part.split("/"):
            raise DataError("an object's name leads out of the folder", f"{place.url}/{part}", "rename it there")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.parent / ".lock"):  # another process may be at it
            if not copy.exists():
                _fetch(place, list(there), copy)
    except OSError as error:
        raise refusal("cannot keep an input", copy, error) from error
    return copy


def _fetch(place: Place, parts: Sequence[str], copy: Path) -> None:
    """Bring all parts under another name, which a stop leaves behind and the next call empties."""
    from rba.store.place import AT_ONCE

    arriving = copy.with_name(f".{copy.name}.arriving")
    if arriving.is_dir():
        shutil.rmtree(arriving)

    def get(part: str) -> None:
        target = arriving / part if part else arriving
        target.parent.mkdir(parents=True, exist_ok=True)
        place.get(part, target)

    with progress(f"fetching {copy.name}", len(parts)) as bar, ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(get, parts):
            bar.advance()
    settle(arriving, copy)
