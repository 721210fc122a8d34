"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
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
    partial = target.with_name(f".{target.name}.partial")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            fix = "choose another or remove it first"
            raise WorkspaceError("the folder to export to is not empty", str(target), fix)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        partial.replace(target)
    except OSError as error:
        raise refusal("cannot export", target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
