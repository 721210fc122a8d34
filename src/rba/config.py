"""Dataclasses from plain trees and back: strict types, unknown keys named with the nearest one, dotted overrides."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from rba import document
from rba.errors import RecipeError

T = TypeVar("T")

_SCALARS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


def to_tree(value: Any) -> Any:
    """Plain mappings, lists and scalars of a dataclass."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_tree(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {k: to_tree(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_tree(v) for v in value]
    return value


def merge(below: Mapping[str, Any], above: Mapping[str, Any], whole: Collection[str] = ()) -> dict[str, Any]:
    """`above` laid over `below`: mappings are merged key by key, anything else is replaced, and the keys of `whole`."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key not in whole
        merged[key] = merge(merged[key], value, whole) if both else value
    return merged


def override(tree: Mapping[str, Any], assignments: Sequence[str], whole: Collection[str] = ()) -> dict[str, Any]:
    """Apply `dotted.key=value` assignments, whose values are YAML, from left to right, as `merge` does."""
    result = dict(tree)
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        parts = key.strip().split(".")
        if not sign or not all(parts):
            raise RecipeError("an override is written key=value", assignment, "for example align.lr=2e-4")
        value = document.parse(text, f"override {key}")
        for part in reversed(parts):
            value = {part: value}
        result = merge(result, value, whole)
    return result


def build(cls: type[T], tree: Any, key: str = "", default: T | None = None) -> T:
    """A dataclass from a mapping, with strict types; keys left out take `default`'s values, else the class's own.

    Types: str, int, float (whole numbers too), bool, None, Literal, list, tuple, dict (less its keys that are null),
    unions and nested dataclasses.
    Raises RecipeError with the dotted key for an unknown or missing key, a value of another type, or one that the
    dataclass itself refuses.
    """
    if tree is None:
        if key:
            raise RecipeError("this section is empty", key, "put its keys below it, or leave its name out, too")
        tree = {}
    if not isinstance(tree, Mapping):
        raise RecipeError(f"expected a section with keys, found {_show(tree)}", key, "put its keys below it")
    fields, hints = _described(cls)  # type: ignore[arg-type]
    for name in tree:
        if name not in fields:
            raise _unknown(_join(key, str(name)), str(name), list(fields), key)
    values = {}
    for name, field in fields.items():
        below = getattr(default, name) if default is not None else _default(field)
        if name in tree:
            values[name] = _convert(hints[name], tree[name], _join(key, name), below)
        elif below is not dataclasses.MISSING:
            values[name] = below
        elif dataclasses.is_dataclass(hints[name]):
            values[name] = build(typing.cast(type, hints[name]), {}, _join(key, name))
        else:
            raise RecipeError("a key is missing", _join(key, name), f"add it with {_expected(hints[name])}")
    return _construct(cls, values, key)


@cache
def _described(cls: type) -> tuple[dict[str, dataclasses.Field[Any]], dict[str, Any]]:
    """The fields that a dataclass is made from and the types of its annotations, which take long to evaluate."""
    return {f.name: f for f in dataclasses.fields(cls) if f.init}, typing.get_type_hints(cls)


def _construct(cls: type[T], values: dict[str, Any], key: str) -> T:
    """Make the dataclass; what its own checks refuse is reported under the section's key."""
    try:
        return cls(**values)
    except RecipeError as error:
        where = error.where if not key or error.where.startswith(key) else f"{key}: {error.where}".rstrip(": ")
        raise type(error)(error.what, where, error.fix) from error
    except (ValueError, TypeError) as error:
        raise RecipeError(str(error), key) from error


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _unknown(full: str, name: str, valid: list[str], key: str) -> RecipeError:
    nearest = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    fix = f"did you mean {_join(key, nearest[0])}?" if nearest else f"valid keys here: {', '.join(valid)}"
    return RecipeError("unknown key", full, fix)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _convert(hint: Any, value: Any, key: str, below: Any = dataclasses.MISSING) -> Any:
    """`value` as the type `hint`; `below` is the default that a partly given section is laid over."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(hint, value, key, below)
    if origin is typing.Literal:
        return _convert_literal(arguments, value, key)
    if dataclasses.is_dataclass(hint):
        default = below if dataclasses.is_dataclass(below) and not isinstance(below, type) else None
        return build(typing.cast(type, hint), value, key, default)
    if origin in (list, tuple, Sequence) and isinstance(value, list):
        return _convert_items(origin, arguments, value, key)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        # null takes away what the recipe below has under a name of the user's own
        return {k: _convert(arguments[1], v, f"{key}.{k}") for k, v in value.items() if v is not None}
    if hint in _SCALARS:
        return _convert_scalar(hint, value, key)
    raise _wrong(hint, value, key)


def _convert_scalar(hint: Any, value: Any, key: str) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise _wrong(hint, value, key)
    return value


def _convert_items(origin: Any, arguments: tuple[Any, ...], value: list[Any], key: str) -> Any:
    fixed = origin is tuple and arguments[1:] != (Ellipsis,)
    if fixed and len(value) != len(arguments):
        raise RecipeError(f"expected {len(arguments)} items, found {len(value)}", key)
    hints = arguments if fixed else (arguments[0],) * len(value)
    items = [_convert(hint, item, f"{key}[{i}]") for i, (hint, item) in enumerate(zip(hints, value))]
    return tuple(items) if origin is tuple else items


def _convert_union(hint: Any, value: Any, key: str, below: Any) -> Any:
    choices = typing.get_args(hint)
    sections = [c for c in choices if dataclasses.is_dataclass(c)]
    if value is None and type(None) in choices:
        return None
    if isinstance(value, Mapping) and sections:
        return _convert(sections[0], value, key, below)
    for choice in sorted((c for c in choices if c not in sections), key=lambda c: c is not type(value)):
        try:
            return _convert(choice, value, key)
        except RecipeError:
            continue
    raise _wrong(hint, value, key)


def _convert_literal(allowed: tuple[Any, ...], value: Any, key: str) -> Any:
    for item in allowed:
        if type(item) is type(value) and item == value:
            return item
    nearest = difflib.get_close_matches(str(value), [str(a) for a in allowed], n=1)
    fix = f"did you mean {nearest[0]}?" if nearest else ""
    choices = ", ".join(map(str, allowed))
    raise RecipeError(f"expected one of {choices}; found {_show(value)}", key, fix)


def _wrong(hint: Any, value: Any, key: str) -> RecipeError:
    fix = ""
    if hint is str:
        fix = """for empty text write '""'""" if value is None else 'put it in quotes: "..."'
    return RecipeError(f"expected {_expected(hint)}, found {_show(value)}", key, fix)


def _expected(hint: Any) -> str:
    """A type in a user's words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_expected(a) for a in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (list, tuple, Sequence):
        return f"a list of {_expected(arguments[0])}"
    return "a section with keys"


def _show(value: Any) -> str:
    """A value as the user wrote it, with its type."""
    names = {str: "text", int: "whole number", float: "number", bool: "true/false", list: "list", dict: "section"}
    if value is None:
        return "nothing"
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({names.get(type(value), type(value).__name__)})"
