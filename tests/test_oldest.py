"""The lowest versions that pyproject.toml allows are those that `make test-oldest` installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def test_the_bounds_of_what_opens_models_are_the_versions_tested():
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    tested = {normal(name): version for name, _, version in (s.partition("==") for s in lines if "==" in s)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = (re.match(r"([\w-]+)>=([\d.]+)", line) for line in project["dependencies"])
    bounds = {normal(m[1]): m[2] for m in found if m and normal(m[1]) in tested}
    assert bounds.keys() == tested.keys() - {"tokenizers"} >= {"transformers", "peft"}
    shortened = {name: re.sub(r"(\.0)+$", "", version) for name, version in tested.items()}
    assert {name: re.sub(r"(\.0)+$", "", bound) for name, bound in bounds.items()}.items() <= shortened.items()
