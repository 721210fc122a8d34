"""Scoring equal items once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item", bound=Any)
Value = TypeVar("Value")


def once(items: Sequence[Item], score: Callable[[list[Item]], Sequence[Value]]) -> list[Value]:
    """One value per item. `score` gets the distinct ones, sorted: equal items have equal values to the bit."""
    distinct = sorted(set(items))
    values = dict(zip(distinct, score(distinct))) if distinct else {}
    return [values[item] for item in items]
