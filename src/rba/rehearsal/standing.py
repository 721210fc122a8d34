"""A recipe with stand-ins in the places of what it names."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rba import config
from rba.evaluation.listening import ACCENTED
from rba.files import local
from rba.inputs import is_url
from rba.models import SHIPPED
from rba.recipe import CONNECT, Recipe
from rba.rehearsal.checks import lacks_references
from rba.rehearsal.sizes import small
from rba.rehearsal.stand_ins import StandIns

ACCENT = "accent"
"""A condition of engines that pronounce by rules, which those that stand in do not."""


def standing(recipe: Recipe, made: StandIns, output: Path) -> Recipe:
    """The recipe at a handful of items, all that it names tiny, its run folder `output`.

    Raises RbaError for what cannot be stood in for, and for what the smaller recipe cannot be.
    """
    tree = small(config.to_tree(recipe))
    tree |= {"output": str(output), "teacher": made.llm(recipe.teacher)}
    _place_speechlm(recipe, tree, made)
    _place_speech(recipe, tree, made)
    if is_url(recipe.synthesis.texts):
        tree["synthesis"]["texts"] = made.texts(recipe.synthesis.texts)
    tree["synthesis"]["embedder"] = made.embedder(recipe.synthesis.embedder)
    align = tree["align"]
    align["judge"] = made.judge(recipe.align.judge or recipe.teacher)  # a teacher that judges writes a mark, too
    align["mix"] = [made.mixed(run, recipe.seed) for run in recipe.align.mix]
    for settings in (align, *align["variants"].values()):
        _place(settings, made, ("embedder", "reward_model", "rollout_server"))
        _replace(settings, "token_teacher", made.llm)
    for settings in align["variants"].values():
        _replace(settings, "judge", made.judge)
    evaluate = tree["evaluate"]
    _place(evaluate, made, ("embedder", "reward_model"))
    _replace(evaluate, "judge", made.llm)
    _replace(evaluate, "cascade", made.recogniser)
    if not has_ray():
        tree["executor"] = "local"
    evaluate["benchmarks"] = [one for one in evaluate["benchmarks"] if is_here(one["source"])]
    return config.build(Recipe, tree)


def has_ray() -> bool:
    """Whether Ray is installed."""
    return find_spec("ray") is not None


def is_here(source: str) -> bool:
    """Whether a benchmark's data are on this machine."""
    return not is_url(source) and local(source).exists()


def _place_speechlm(recipe: Recipe, tree: dict[str, Any], made: StandIns) -> None:
    if recipe.model != CONNECT:
        tree["model"] = made.speechlm(recipe.model)
    elif recipe.connect.connector == "shipped":
        tree["model"] = made.speechlm(SHIPPED)
    else:
        connect = tree["connect"]
        connect |= {"encoder": made.encoder(connect["encoder"]), "llm": made.llm(connect["llm"]), "start": ""}
        connect["corpus"]["files"] = [made.corpus_file(name) for name in recipe.connect.corpus.files]


def _place_speech(recipe: Recipe, tree: dict[str, Any], made: StandIns) -> None:
    speech, conditions = tree["speech"], tree["evaluate"]["conditions"]
    speech["engine"] = made.engine(recipe.speech.engine)
    if recipe.speech.gate:
        speech["gate_asr"] = made.recogniser(recipe.speech.gate_asr)
    if lacks_references(recipe):
        speech["references"] = made.references(recipe.speech.references)
    if speech["engine"] not in ACCENTED:
        conditions["names"] = [name for name in conditions["names"] if name != ACCENT]
    if "engine" in recipe.evaluate.conditions.names:
        conditions["engine"] = made.engine(recipe.evaluate.conditions.engine, other_than=speech["engine"])


def _place(settings: dict[str, Any], made: StandIns, keys: tuple[str, ...]) -> None:
    for key in keys:
        _replace(settings, key, getattr(made, key))


def _replace(settings: dict[str, Any], key: str, make: Any) -> None:
    if settings.get(key):
        settings[key] = make(settings[key])
