"""Documents: YAML as recipes use it, with YAML 1.2 scalars, no key twice, faults named with file and line; JSON."""

from __future__ import annotations

import difflib
import json
import re
import typing
from pathlib import Path
from typing import Any

import yaml

from rba.errors import RecipeError

_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", list("-+.0123456789")),
)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `1e-4` is a number, `on` and `12:30` are text; a key written twice is an error."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, list[Any]]] = {}  # type: ignore[misc]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # what a tag such as !!int is written before need not be of its kind
            said = f'"{node.value[:60]}"' if isinstance(node, yaml.ScalarNode) else "this"
            problem = f"{said} cannot be read as {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"the key {key!r} is not text"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                problem = f'the key "{key}" stands twice'
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would not read back as text."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, list[Any]]] = {}  # type: ignore[misc]

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.Node:
        # only double quotes keep these line breaks apart from ordinary ones
        style = '"' if any(c in text for c in "\r\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)

    def represent_items(self, items: list[Any]) -> yaml.Node:
        simple = not any(isinstance(item, list | dict) for item in items)
        return self.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=simple)


for _tag, _pattern, _first in _RESOLVERS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(list, _Dumper.represent_items)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


TOO_DEEP = "it is nested too deeply"


def parse_json(text: str | bytes) -> Any:
    """The value of a piece of JSON. Raises ValueError where it is none, with the line, or nested too deeply."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise ValueError(error.msg.removesuffix(" at") + line) from error
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error


def parse(text: str, where: str) -> Any:
    """The value of a piece of YAML. Raises RecipeError with the line of the fault."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError as error:
        raise RecipeError(f"not valid YAML: {TOO_DEEP}", where, "write fewer brackets within brackets") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise RecipeError(f"not valid YAML: {problem}", place, "check indentation, colons and quotes") from error


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises RecipeError where it is missing, unreadable or no mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError("no such recipe", str(path), _nearest_file(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
        raise RecipeError(f"cannot read the recipe: {reason}", str(path), "give a YAML file") from error
    tree = parse(text, str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise RecipeError("a recipe is a mapping of keys to values", str(path), "begin with a line such as name: mine")
    return tree


def _nearest_file(path: Path) -> str:
    names = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    nearest = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / nearest[0]}?" if nearest else "check the path"


def dump(tree: Any) -> str:
    """YAML text of plain mappings, lists and scalars, keys in their order; `parse` gives the same tree back."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
