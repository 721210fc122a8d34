"""What a run trains: its methods, and methods under other settings by names of their own. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rba import config
from rba.alignment.objectives import available
from rba.errors import RecipeError

if TYPE_CHECKING:
    from rba.alignment.settings import AlignSettings

METHOD = "method"
"""The key of a variant that names its method; all others are keys of `align`."""

TAKEN = ("base", "text", "cascade", "teacher")
"""Names of models that every evaluation has."""

RESERVED = (*TAKEN, "teacher-again")
"""Names that no variant can have."""

SAMPLED_BY = (
    *("sample", "answers", "rollout_batch", "rollout_server"),
    *("instructions", "voices", "prompt", "groups_per_step", "steps"),
)
"""Settings that the initial model's self-samples depend on."""

REWARDED_BY = ("reward", "reward_scaling", "embedder", "reward_model", "judge")
"""Settings that their rewards depend on besides."""

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_FIXED = ("methods", "variants", "mix")


def trained(settings: AlignSettings) -> tuple[str, ...]:
    """The names of all that a run trains, in order: its methods, then its variants."""
    return (*settings.methods, *settings.variants)


def resolve(settings: AlignSettings, name: str) -> tuple[str, AlignSettings]:
    """The method that `name` stands for, and the settings that it is trained with.

    Raises KeyError for a name that is not trained.
    """
    if name in settings.methods:
        return name, replace(settings, methods=(name,), variants={})
    changes = dict(settings.variants[name])
    method = changes.pop(METHOD)
    own = {**changes, "methods": [method]}
    return method, config.build(type(settings), own, f"align.variants.{name}", replace(settings, variants={}))


def check(settings: AlignSettings) -> None:
    """Raise RecipeError for a variant that cannot be trained."""
    for name, changes in settings.variants.items():
        where = f"align.variants.{name}"
        # a method may be trained under settings of its own alone: then it is what its name says
        misleads = name in available() and (name in settings.methods or changes.get(METHOD) != name)
        if not _NAME.fullmatch(name) or name in RESERVED or misleads:
            fix = f"use small letters, digits, dots and hyphens, and no other method's name nor {', '.join(RESERVED)}"
            raise RecipeError("a variant cannot have this name", where, fix)
        _check_changes(where, changes)
        resolve(settings, name)


def _check_changes(where: str, changes: Mapping[str, Any]) -> None:
    method = changes.get(METHOD)
    if method not in available():
        found = "no method" if method is None else f"the method {method!r}"
        fix = f"give it one: {METHOD}: {', '.join(available())}"
        raise RecipeError(f"a variant is a method under other settings; this one has {found}", where, fix)
    for key in _FIXED:
        if key in changes:
            raise RecipeError("a variant cannot change this", f"{where}.{key}", "set it for the whole run, under align")
