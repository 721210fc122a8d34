"""Faults of the stages to come that can be seen before the first: missing keys and data, turns without a place."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache

from rba.errors import ModelError
from rba.evaluation.benchmarks.sources import check_source
from rba.lm.preamble import Preamble
from rba.models import folder_of
from rba.named import named_models
from rba.recipe import CONNECT, Recipe
from rba.services.service import is_service
from rba.speech import engine
from rba.weights.cache import is_cached
from rba.weights.registry import SOURCES

_VERBS = {"synthesis": "synthesize", "speech": "speak", "align": "align", "evaluate": "evaluate"}
"""Who asks the models that a section names."""


def check_ahead(recipe: Recipe, verbs: Collection[str]) -> None:
    """Raise now what the stages of `verbs` would find hours later; no weights are loaded, and no server is asked.

    ModelError for a server's API key that is not set, and for an LLM whose chat template has no place for what it is to
    be told, RecipeError for a speech server without voices, DataError for a
    benchmark whose data are neither here nor can be on the hub.
    """
    for verb, key, name in _asked(recipe):
        if verb in verbs:
            _check_key(key, name)
    if "evaluate" in verbs:
        for benchmark in recipe.evaluate.benchmarks:
            check_source(benchmark)
    _check_turns([(key, name, told) for due, key, name, told in _told(recipe) if due & set(verbs)])


def _asked(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """The verbs, and the keys and names of the models that they ask."""
    yield "synthesize", "teacher", recipe.teacher
    if recipe.evaluate.teacher_again:
        yield "evaluate", "teacher", recipe.teacher
    yield "speak", "speech.engine", recipe.speech.engine
    if "engine" in recipe.evaluate.conditions.names:
        yield "evaluate", "evaluate.conditions.engine", recipe.evaluate.conditions.engine
    for key, name in named_models(recipe).items():
        if verb := _VERBS.get(key.partition(".")[0]):
            yield verb, key, name


def _check_key(key: str, name: str) -> None:
    try:
        if engine.is_served(name) and key.endswith(".engine"):
            engine.prepare(name)
        elif is_service(name):
            from rba.services.client import Client
            from rba.services.service import parse_service

            Client(parse_service(name))
    except ModelError as error:
        raise ModelError(error.what, f"{key} {error.where}", error.fix) from error


def _told(recipe: Recipe) -> Iterator[tuple[set[str], str, str, Preamble]]:
    """The verbs that ask LLMs, the keys and names of these, and what stands before and around their requests."""
    for told in (recipe.synthesis.query_preamble, recipe.teacher_preamble):
        yield {"synthesize"}, "teacher", recipe.teacher, told
    for key, name in named_models(recipe).items():
        if key.endswith(".token_teacher"):
            yield {"align"}, key, name, recipe.teacher_preamble
    key, name = ("connect.llm", recipe.connect.llm) if recipe.model == CONNECT else ("model", _llm_of(recipe.model))
    yield {"align", "evaluate"}, key, name, recipe.task.preamble
    for benchmark in recipe.evaluate.benchmarks:
        yield {"evaluate"}, key, name, Preamble(benchmark.system)


def _llm_of(model: str) -> str:
    """The LLM of a compact checkpoint that is here; "" for any other model."""
    if not (folder_of(model) / "speechlm.json").is_file():
        return ""
    from rba.models.load import facts_of

    return str(facts_of(folder_of(model)).get("llm", ""))


def _check_turns(told: list[tuple[str, str, Preamble]]) -> None:
    """Raise ModelError, with the key, where an LLM's chat template has no place for the turns that it is told."""
    told = [(key, name, turns) for key, name, turns in told if turns != Preamble() and _is_at_hand(name)]
    if not told:
        return
    from rba.lm import chat
    from rba.lm.load import load_tokenizer

    load = cache(load_tokenizer)
    for key, name, turns in told:
        try:
            chat.frame(load(name), turns)
        except ModelError as error:
            raise ModelError(error.what, f"{key} {name}", error.fix) from error


def _is_at_hand(name: str) -> bool:
    """Whether an LLM's tokenizer can be had without its weights: from a folder, the cache or the hub, not a server."""
    return bool(name) and not is_service(name) and (name not in SOURCES or is_cached(name))
