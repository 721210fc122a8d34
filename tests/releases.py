"""Which families the installed release of transformers can work with, as marks of tests."""

from __future__ import annotations

from collections.abc import Iterable
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
