"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from rba.errors import WorkspaceError
from rba.files import refusal


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its name at the end of the block, or is removed; so are old remains.

    Raises WorkspaceError for a `target` that is not empty, and where the disk refuses.
    """
    target = target.resolve()  # "." has no name of its own
    try:
        _check_empty(target)
        # not .partial: the runs of a run folder that this may be in remove those
        working = target.with_name(f".{target.name}.{platform.node()}-{os.getpid()}.exporting")
        for remains in _remains(target):
            shutil.rmtree(remains, ignore_errors=True)
        working.mkdir(parents=True)
        try:
            yield working
            _check_empty(target)
            working.replace(target)
        finally:
            shutil.rmtree(working, ignore_errors=True)
    except OSError as error:
        raise refusal("cannot export", target, error) from error


def _check_empty(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        fix = "choose another or remove it first"
        raise WorkspaceError("the folder to export to is not empty", str(target), fix)


def _remains(target: Path) -> list[Path]:
    """The working folders of exports to `target` that have ended on this machine."""
    form = re.compile(rf"\.{re.escape(target.name)}\.{re.escape(platform.node())}-(\d+)\.exporting")
    found = [(path, form.fullmatch(path.name)) for path in target.parent.glob(".*.exporting")]
    return [path for path, match in found if match and not _runs(int(match[1]))]


def _runs(process: int) -> bool:
    """Whether another process of this machine has this number."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
