"""IFEval: prompts with `instruction_id_list` and `kwargs` for each check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from rba.errors import DataError
from rba.evaluation.benchmarks.formats import manifest
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.evaluation.ifeval.checks import CHECKS


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item a prompt. Raises DataError for a row without checks or with an unknown one."""
    for item in manifest.load(settings):
        checks, values = item.facts.get("instruction_id_list"), item.facts.get("kwargs")
        values = json.loads(values) if isinstance(values, str) else values
        unknown = [check for check in checks or () if check not in CHECKS]
        if not checks or not values or len(checks) != len(values) or unknown:
            what = f"unknown check {unknown[0]}" if unknown else "no instruction_id_list with kwargs of its length"
            raise DataError(f"a row of IFEval has {what}", f"benchmark {settings.name}, item {item.id}", "check it")
        yield replace(item, references=(), facts={"checks": list(checks), "kwargs": [dict(v or {}) for v in values]})
