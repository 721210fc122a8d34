"""A user's own reward by its place, `module:function`: TRL's signature, sync or async."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from rba.errors import RecipeError
from rba.rewards.calls import is_async


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
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # for good: the module may import its neighbours only when it is called
    try:
        found = getattr(importlib.import_module(module), attribute)
        made = found() if inspect.isclass(found) else found
    except Exception as error:  # whatever a user's module does while it is imported
        fix = "install the module, run where its file is, or mend it"
        raise RecipeError(f"cannot import the reward: {type(error).__name__}: {error}", name, fix) from error
    if not callable(made):
        raise RecipeError("a reward is a function or a class of callables", name, f"it is a {type(made).__name__}")
    return (AsyncCustomReward if is_async(made) else CustomReward)(made, name)
