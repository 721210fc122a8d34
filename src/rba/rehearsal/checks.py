"""Faults of a recipe that its stand-ins would hide: what is asked of its own models, folders and files."""

from __future__ import annotations

from dataclasses import replace

from rba import paid
from rba.alignment.mix import check_task, speech_of
from rba.connect.stage import shipped_for
from rba.connect.start import Start
from rba.errors import RecipeError
from rba.evaluation.benchmarks.sources import check_source
from rba.evaluation.rendering import check_engines
from rba.files import local
from rba.inputs import is_url
from rba.named import with_keys
from rba.parallel import launched
from rba.pipeline import check_models
from rba.recipe import CONNECT, Recipe
from rba.speech.bank import check_bank, check_clones


def check(recipe: Recipe) -> None:
    """Raise RbaError for what the run itself would refuse, but for what only the network or a server can tell.

    Prints what the run would warn of.
    """
    if launched() > 1:
        raise RecipeError(
            "a dry run is the work of one process", "--dry-run", "start it without torchrun or accelerate"
        )
    with with_keys(recipe):
        check_models(_here(recipe))
        if recipe.model == CONNECT:
            shipped_for(recipe.connect) if recipe.connect.connector == "shipped" else Start(recipe.connect)
    check_clones(recipe.speech)
    if not lacks_references(recipe):
        check_bank(recipe.speech, (split for split, count in recipe.synthesis.quotas.items() if count))
        if recipe.evaluate.conditions.names:
            check_engines(recipe.evaluate.conditions, {recipe.speech.engine}, recipe.speech)
    for run in recipe.align.mix:
        check_task(run, recipe.task.prompt)
        speech_of(run)
    for benchmark in recipe.evaluate.benchmarks:
        check_source(benchmark)
    paid.warn(recipe)


def _here(recipe: Recipe) -> Recipe:
    """The recipe without a file of texts that would have to be fetched."""
    if not is_url(recipe.synthesis.texts):
        return recipe
    return replace(recipe, synthesis=replace(recipe.synthesis, texts=""))


def lacks_references(recipe: Recipe) -> bool:
    """Whether a recipe names a folder of reference clips that is not here."""
    folder = recipe.speech.references
    return bool(folder) and (is_url(folder) or not local(folder).exists())
