"""Faults of the stages to come that can be seen before the first: what is not there, and what does not go together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache

from rba.alignment.variants import resolve, trained
from rba.errors import ModelError, RecipeError
from rba.evaluation.benchmarks.sources import check_source
from rba.lm.preamble import Preamble
from rba.models import folder_of
from rba.named import named_models
from rba.recipe import CONNECT, Recipe
from rba.services.service import is_service
from rba.speech import engine
from rba.speech.bank import check_bank
from rba.weights.cache import is_cached
from rba.weights.registry import SOURCES

_VERBS = {"synthesis": "synthesize", "speech": "speak", "align": "align", "evaluate": "evaluate"}
"""Who asks the models that a section names."""


def check_ahead(recipe: Recipe, verbs: Collection[str]) -> None:
    """Raise now what the stages of `verbs` would find hours later; no weights are loaded, and no server is asked.

    ModelError for a server's API key that is not set, for what a speech engine lacks, and for an LLM whose chat
    template has no place for what it is to be told, RecipeError for speakers that the engine cannot speak as or that
    are too few, for methods that compare answers where an instruction has one alone, and for conditions that an engine
    cannot make, DataError for a benchmark whose data are neither here nor can be on the hub.
    """
    if "speak" in verbs:
        check_bank(recipe.speech, (split for split, count in recipe.synthesis.quotas.items() if count))
    if "align" in verbs:
        _check_compared(recipe)
    if "evaluate" in verbs and recipe.evaluate.conditions.names:
        from rba.evaluation.rendering import check_engines

        check_engines(recipe.evaluate.conditions, {recipe.speech.engine}, recipe.speech)
    for verb, key, name in _asked(recipe):
        if verb in verbs:
            _check(key, name)
    if "evaluate" in verbs:
        for benchmark in recipe.evaluate.benchmarks:
            check_source(benchmark)
    _check_turns([(key, name, told) for due, key, name, told in _told(recipe) if due & set(verbs)])


def _check_compared(recipe: Recipe) -> None:
    from rba.alignment.objectives.objective import load_objective

    for name in trained(recipe.align):
        method, settings = resolve(recipe.align, name)
        spoken = recipe.speech.voices if not settings.mix else 2  # other runs may have more voices
        if load_objective(method, settings).compares and settings.answers * min(settings.voices or spoken, spoken) < 2:
            what = f"{name} compares answers to an instruction with each other, and here each has only one"
            where = f"align.answers 1, align.voices {settings.voices}, speech.voices {recipe.speech.voices}"
            raise RecipeError(what, where, "give it 2 or more answers, or 2 or more voices")


def _asked(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """The verbs, and the keys and names of the models that they ask."""
    yield "synthesize", "teacher", recipe.teacher
    if recipe.evaluate.teacher_again:
        yield "evaluate", "teacher", recipe.teacher
    yield "speak", "speech.engine", recipe.speech.engine
    if recipe.evaluate.conditions.names:
        yield "evaluate", "speech.engine", recipe.speech.engine
    if "engine" in recipe.evaluate.conditions.names:
        yield "evaluate", "evaluate.conditions.engine", recipe.evaluate.conditions.engine
    for key, name in named_models(recipe).items():
        if verb := _VERBS.get(key.partition(".")[0]):
            yield verb, key, name


def _check(key: str, name: str) -> None:
    try:
        if key.endswith(".engine"):
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
