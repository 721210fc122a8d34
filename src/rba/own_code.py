"""A user's own code, which a recipe names by its place: `module:name`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from rba.errors import RecipeError
from rba.workspace import file_hash


def load_module(place: str, what: str) -> ModuleType:
    """The module of `module:name`, installed or a file of the working folder.

    Raises RecipeError, in one line that says `what` it was to be ("the reward"), if it cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # for good: the module may import its neighbours only when it is called
    try:
        return importlib.import_module(place.partition(":")[0])
    except Exception as error:  # whatever a user's module does while it is imported
        raise faulty(place, what, error) from error


def code_hash(place: str, what: str) -> str:
    """The SHA-256 of the module's file, "" where it has none; what it imports is not looked at.

    Raises RecipeError as `load_module` does.
    """
    file = load_module(place, what).__file__
    return file_hash(Path(file)) if file else ""


def faulty(place: str, what: str, error: Exception) -> RecipeError:
    """What to raise when the user's code fails on its way in."""
    fix = "install the module, run where its file is, or mend it"
    return RecipeError(f"cannot import {what}: {type(error).__name__}: {error}", place, fix)
