"""The models that a recipe names, and what is wrong with one told with the keys that name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rba.alignment.settings import AlignSettings
from rba.alignment.variants import resolve
from rba.errors import RbaError
from rba.recipe import CONNECT, Recipe


def trainings(recipe: Recipe) -> dict[str, AlignSettings]:
    """The settings of the methods and of every variant, by the key that they stand under."""
    variants = {f"align.variants.{name}": resolve(recipe.align, name)[1] for name in recipe.align.variants}
    return {"align": recipe.align, **variants}


def named_models(recipe: Recipe) -> dict[str, str]:
    """The models of a recipe by the keys that name them; what is empty or of a part that is left out names none."""
    made = recipe.model == CONNECT
    named = {
        "teacher": recipe.teacher,
        "model": "" if made else recipe.model,
        "synthesis.embedder": recipe.synthesis.embedder,
        "speech.gate_asr": recipe.speech.gate_asr if recipe.speech.gate else "",
        **{f"connect.{key}": getattr(recipe.connect, key) if made else "" for key in ("encoder", "llm", "start")},
        **_of_trainings(recipe),
        **{
            f"evaluate.{key}": getattr(recipe.evaluate, key) for key in ("embedder", "judge", "reward_model", "cascade")
        },
    }
    return {key: name for key, name in named.items() if name}


def _of_trainings(recipe: Recipe) -> dict[str, str]:
    """The models of all trainings; those that a variant has not changed are named once, under `align`."""
    found: dict[str, str] = {}
    for place, settings in trainings(recipe).items():
        for key in ("embedder", "judge", "reward_model", "token_teacher", "rollout_server"):
            name = getattr(settings, key)
            if found.get(f"align.{key}") != name:
                found[f"{place}.{key}"] = name
    return found


@contextmanager
def with_keys(recipe: Recipe) -> Iterator[None]:
    """Around what loads a recipe's models: a fault of one tells the keys that name it, too."""
    try:
        yield
    except RbaError as error:
        keys = [key for key, name in named_models(recipe).items() if name == error.where]
        if not keys:
            raise
        raise type(error)(error.what, f"{', '.join(keys)} {error.where}", error.fix) from error
