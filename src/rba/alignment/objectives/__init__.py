"""The objectives, one a file: a module that holds an `OBJECTIVE` class is a method, named after its file."""

from __future__ import annotations

import pkgutil

_ALSO_READS = {"tars": ("grpo",)}
_SHARED = frozenset({"advantages", "dense", "objective", "preference", "settings", "surrogate", "titles", "value"})


def available() -> list[str]:
    """The names of all methods, e.g. "rba-group" for `rba_group.py`; imports nothing heavy."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in found if name not in _SHARED)


def sections(method: str) -> tuple[str, ...]:
    """The sections of `align` that are for single methods and read by this one: that of its name, and others'."""
    return (method.replace("-", "_"), *_ALSO_READS.get(method, ()))
