"""A user's own reward by its place, `module:function`: TRL's signature, sync or async."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rba.errors import RecipeError
from rba.rewards.calls import is_async
from rba.rewards.spec import is_custom, parse_weights
from rba.workspace import file_hash


class CustomReward:
    """A user's function under the name by which the recipe calls it."""

    def __init__(self, function: Any, name: str):
        self.function, self.name = function, name

    def __call__(self, **batch: Any) -> Any:
        """What the function returns: one value per completion, or a coroutine of them."""
        return self.function(**batch)


class AsyncCustomReward(CustomReward):
    """The same for a coroutine function, so that it is known for one before it is called."""

    async def __call__(self, **batch: Any) -> Any:
        """One value per completion."""
        return await self.function(**batch)


def load_custom(name: str) -> CustomReward:
    """The function at `module:function`, in an installed module or a file of the working folder; a class is made.

    Raises RecipeError, in one line, if it cannot be imported or called.
    """
    module = _module(name)
    try:
        found = getattr(module, name.partition(":")[2])
        made = found() if inspect.isclass(found) else found
    except Exception as error:  # whatever a user's class does while it is made
        raise _faulty(name, error) from error
    if not callable(made):
        raise RecipeError(f"a reward is a function, not {type(made).__name__}", name, "name another")
    return (AsyncCustomReward if is_async(made) else CustomReward)(made, name)


def code_hashes(spec: str | Mapping[str, float]) -> dict[str, str]:
    """The SHA-256 of the file of each reward of the user's own in `spec`, so that an edit makes its values out of date.

    What such a file imports is not looked at. Raises RecipeError as `load_custom` does.
    """
    files = {name: _module(name).__file__ for name in parse_weights(spec) if is_custom(name)}
    return {name: file_hash(Path(file)) for name, file in files.items() if file}


def _module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # for good: the module may import its neighbours only when it is called
    try:
        return importlib.import_module(name.partition(":")[0])
    except Exception as error:  # whatever a user's module does while it is imported
        raise _faulty(name, error) from error


def _faulty(name: str, error: Exception) -> RecipeError:
    fix = "install the module, run where its file is, or mend it"
    return RecipeError(f"cannot import the reward: {type(error).__name__}: {error}", name, fix)
