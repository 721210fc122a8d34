"""A user's own reward by its place, `module:function`: TRL's signature, sync or async."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from rba.errors import RecipeError
from rba.own_code import code_hash, faulty, load_module
from rba.rewards.calls import is_async
from rba.rewards.spec import is_custom, parse_weights

WHAT = "the reward"


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
    module = load_module(name, WHAT)
    try:
        found = getattr(module, name.partition(":")[2])
        made = found() if inspect.isclass(found) else found
    except Exception as error:  # whatever a user's class does while it is made
        raise faulty(name, WHAT, error) from error
    if not callable(made):
        raise RecipeError(f"a reward is a function, not {type(made).__name__}", name, "name another")
    return (AsyncCustomReward if is_async(made) else CustomReward)(made, name)


def code_hashes(spec: str | Mapping[str, float]) -> dict[str, str]:
    """The SHA-256 of the file of each reward of the user's own in `spec`, so that an edit makes its values out of date.

    What such a file imports is not looked at. Raises RecipeError as `load_custom` does.
    """
    hashes = {name: code_hash(name, WHAT) for name in parse_weights(spec) if is_custom(name)}
    return {name: digest for name, digest in hashes.items() if digest}
