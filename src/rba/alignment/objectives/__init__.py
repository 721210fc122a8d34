"""The objectives, one a file: a module that holds an `OBJECTIVE` class is a method, named after its file."""

from __future__ import annotations

import pkgutil

_SHARED = frozenset({"advantages", "dense", "objective", "preference", "settings", "surrogate", "titles", "value"})


def available() -> list[str]:
    """The names of all methods, e.g. "rba-group" for `rba_group.py`; imports nothing heavy."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in found if name not in _SHARED)
