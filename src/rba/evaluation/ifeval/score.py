"""Strict and loose scores of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rba.evaluation.ifeval.checks import CHECKS


def followed(answer: str, checks: Sequence[str], kwargs: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each instruction is followed by the answer as it stands; a blank answer follows none.

    Raises ValueError where there are not as many `kwargs` as `checks`.
    """
    return [bool(answer.strip()) and _holds(name, answer, values) for name, values in zip(checks, kwargs, strict=True)]


def loosely_followed(answer: str, checks: Sequence[str], kwargs: Sequence[Mapping[str, Any]]) -> list[bool]:
    """The same if the answer may lose its first line, its last line and its asterisks."""
    forms = [followed(form, checks, kwargs) for form in variants(answer)]
    return [any(form[i] for form in forms) for i in range(len(checks))]


def variants(answer: str) -> list[str]:
    """The eight forms of an answer that the loose score tries."""
    lines = answer.split("\n")
    cut = [answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return cut + [form.replace("*", "") for form in cut]


def _holds(name: str, answer: str, values: Mapping[str, Any]) -> bool:
    return CHECKS[name](answer, **{key: value for key, value in values.items() if value is not None})
