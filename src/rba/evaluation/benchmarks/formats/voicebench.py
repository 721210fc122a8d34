"""VoiceBench: rows {audio, prompt, ...} of one subset, as its hub dataset and its published files have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rba.errors import RecipeError
from rba.evaluation.benchmarks.formats import ifeval, manifest
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings

SUBSETS = {
    "alpacaeval": "open",
    "alpacaeval_full": "open",
    "commoneval": "open",
    "wildvoice": "open",
    "sd-qa": "qa",
    "mmsu": "choice",
    "openbookqa": "choice",
    "bbh": "choice",
    "ifeval": "ifeval",
    "advbench": "refusal",
}
"""Subsets, and what scores each without a judge."""


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item a row. Raises RecipeError for an unknown subset."""
    scorer = scorer_of(settings.subset)
    items = ifeval.load(settings) if scorer == "ifeval" else manifest.load(settings)
    for item in items:
        yield item if scorer in ("qa", "choice", "ifeval") else replace(item, references=())


def scorer_of(subset: str) -> str:
    """The scorer of a subset; RecipeError for an unknown one."""
    if subset not in SUBSETS:
        raise RecipeError("no such subset of VoiceBench", f'subset "{subset}"', f"use one of {', '.join(SUBSETS)}")
    return SUBSETS[subset]
