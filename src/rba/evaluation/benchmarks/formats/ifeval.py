"""IFEval: prompts with `instruction_id_list` and `kwargs` for each check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rba.document import parse_json
from rba.errors import DataError
from rba.evaluation.benchmarks.formats import manifest
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.evaluation.ifeval.arguments import arguments


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item a prompt. Raises DataError for a row without checks, with an unknown one or without its kwargs."""
    for item in manifest.load(settings):
        try:
            facts = _facts(item.facts)
        except ValueError as error:
            raise DataError(f"a row of IFEval has {error}", item.where, "check it") from error
        yield replace(item, references=(), facts=facts)


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    checks, values = _listed(row.get("instruction_id_list")), _listed(row.get("kwargs"))
    if not checks or len(checks) != len(values) or not all(isinstance(name, str) for name in checks):
        raise ValueError("no instruction_id_list with kwargs of its length")
    return {"checks": checks, "kwargs": [arguments(name, one) for name, one in zip(checks, values)]}


def _listed(value: Any) -> list[Any]:
    """A list, or the JSON text of one; empty for anything else."""
    try:
        found = parse_json(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("a list that is not JSON") from error
    return list(found) if isinstance(found, list | tuple) else []
