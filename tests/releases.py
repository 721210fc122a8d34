"""Which families the installed release of transformers can work with, as marks of tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from rba.models.bridge import lacking
from rba.models.families import FAMILIES


def needs(family: str) -> pytest.MarkDecorator:
    """Skips a test where `family` does not work; names of other models, and of stand-ins, are never skipped."""
    reason = lacking(FAMILIES[family]) if family in FAMILIES else ""
    return pytest.mark.skipif(bool(reason), reason=reason)


def each(families: Iterable[str]) -> list[Any]:
    """`families` as the values of a test's parameter, those that do not work skipped."""
    return [pytest.param(family, marks=needs(family)) for family in families]


SEVERAL = {"granite_speech": "5.11"}
"""The first release tried whose forward pass of a family takes two clips in a prompt, where older ones take one."""


def each_of_several(families: Iterable[str]) -> list[Any]:
    """The same, skipped as well where a family's own forward pass takes one clip a prompt."""
    return [pytest.param(family, marks=[needs(family), _takes_several(family)]) for family in families]


def _takes_several(family: str) -> pytest.MarkDecorator:
    since = SEVERAL.get(family)
    older = since and lacking(replace(FAMILIES[family], since=since))
    return pytest.mark.skipif(bool(older), reason=f"its own forward pass takes one clip a prompt below {since}")
