"""The arguments of a check, as a row of IFEval gives them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from rba.evaluation.ifeval.checks import CHECKS
from rba.evaluation.ifeval.text import RELATIONS


def arguments(name: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the check `name` takes of `values`, which may hold None and other checks' keys; whole floats become ints.

    Raises ValueError, with a word on why, for an unknown check and for a value that is missing or cannot be meant.
    """
    if name not in CHECKS:
        raise ValueError(f"unknown check {name}")
    if not isinstance(values, Mapping | None):
        raise ValueError(f"kwargs of {name} that are no mapping")
    wanted = [p for p in inspect.signature(CHECKS[name]).parameters.values() if p.kind is not p.VAR_KEYWORD][1:]
    return {p.name: _fitting(name, p, (values or {}).get(p.name)) for p in wanted}


def _fitting(name: str, wanted: inspect.Parameter, value: Any) -> Any:
    if value is None:
        raise ValueError(f"no {wanted.name} for {name}")
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    fits = {
        "int": isinstance(value, int),
        "str": isinstance(value, str) and bool(value.strip()),
        "list[str]": isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value),
    }[str(wanted.annotation)]
    if not fits or (wanted.name.endswith("relation") and value not in RELATIONS):
        raise ValueError(f"{wanted.name} {value!r} for {name}")
    return value
