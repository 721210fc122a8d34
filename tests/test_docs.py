"""What the documents list is what there is: a recipe's keys with their defaults, and what the rooms import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rba import config, document
from rba.errors import RecipeError
from rba.recipe import Recipe

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
TREE = config.to_tree(Recipe("x"))
SAMPLING = {"temperature", "top_p", "max_new_tokens"}


def sections(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every section below the top with its own settings, by dotted name."""
    for key, value in tree.items():
        if isinstance(value, dict) and set(value) != SAMPLING:
            yield path + key, {k: v for k, v in value.items() if not isinstance(v, dict) or set(v) == SAMPLING}
            yield from sections(value, f"{path}{key}.")


def tables() -> dict[str, dict[str, str]]:
    """The documented keys of every section, each with the default as it is written."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in TEXT.partition("## The recipe")[2].splitlines():
        if line.startswith("#"):
            section = (re.findall(r"^###+ `([\w.]+)`$", line) or [""])[0]
        elif section and line.startswith("| `"):
            columns = [part.strip() for part in re.split(r"(?<!\\)\|", line.strip("|"))]
            keys = [name.rpartition(".")[2] for name in re.findall(r"`([^`]+)`", columns[0])]
            found.setdefault(section, {}).update(dict.fromkeys(keys, columns[2]))
    return found


def value(written: str) -> Any:
    """What a documented default means."""
    plain = written.strip("`")
    if plain == "empty":
        return ""
    try:
        return document.parse(plain, "docs/formats.md")
    except RecipeError:
        return plain


DOCUMENTED = tables()


def test_every_key_is_in_a_table():
    missing = [
        f"{section}.{key}"
        for section, settings in sections(TREE)
        for key in settings
        if section in DOCUMENTED and key not in DOCUMENTED[section]
    ]
    assert missing == []
    apart = {section for section, settings in sections(TREE) if settings} - set(DOCUMENTED)
    assert apart == {"ray.synthesis", "ray.speech"}  # one row of ray's table for both


def test_every_default_is_the_one_that_the_recipe_has():
    wrong = [
        (f"{section}.{key}", DOCUMENTED[section][key], own)
        for section, settings in sections(TREE)
        for key, own in settings.items()
        if section in DOCUMENTED and not isinstance(own, dict)
        if value(DOCUMENTED[section][key]) != own
    ]
    assert wrong == []


def imported(room: Path, others: set[str]) -> set[str]:
    """Those of `others`, rooms or modules of the package, that the code of a room imports, wherever in it."""
    nodes = [node for path in room.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    names = [f"{n.module}.{a.name}" for n in nodes if isinstance(n, ast.ImportFrom) and n.module for a in n.names]
    names += [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    return {name.split(".")[1] for name in names if name.startswith("rba.")} & others - {room.name}


def test_the_rooms_import_what_the_architecture_says():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)/` \|.*\| ([^|]*) \|$", text, re.MULTILINE))
    rooms = {path.parent.name: path.parent for path in (ROOT / "src" / "rba").glob("*/__init__.py")}
    said = {room: set(re.findall(r"\w+", re.sub(r"\(.*?\)|the checks also", "", told[room]))) for room in rooms}
    assert said == {room: imported(place, set(rooms)) for room, place in rooms.items()}


def test_the_architecture_lists_every_module_beside_the_rooms_and_those_that_rooms_import():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "rba"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    rows = re.findall(r"^\| (`\w+\.py`(?:, `\w+\.py`)*) \|", text, re.MULTILINE)
    assert sorted(re.findall(r"(\w+)\.py", " ".join(rows))) == sorted(modules)
    (told,) = re.findall(r"Beside them a room may.*?\n\n", text, re.DOTALL)
    rooms = [path.parent for path in package.glob("*/__init__.py")]
    assert set(re.findall(r"`(\w+)`", told)) == set().union(*(imported(room, modules) for room in rooms))
