"""From a model's name to something `from_pretrained` loads."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rba.files import local
from rba.weights.cache import is_cached, path
from rba.weights.fetch import fetch
from rba.weights.registry import SOURCES, find

__all__ = ["ModelRow", "fetch", "models_table", "path", "resolve"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ModelRow:
    """One line of `rba models list`; `size` is the download in bytes."""

    name: str
    kind: str
    size: int
    licence: str
    cached: bool
    summary: str


def resolve(name: str) -> str:
    """What to give `from_pretrained` for `name`: a registry name, a local folder or a hub id such as "org/name".

    A registry model is fetched if the cache lacks it. Raises ModelError for any other name.
    """
    if name not in SOURCES:
        folder = local(name)
        if name and folder.is_dir():
            return str(folder)
        if _HUB_ID.fullmatch(name):
            return name
    return str(fetch(find(name).name))


def models_table() -> list[ModelRow]:
    """Every model of the registry with whether it is in the cache."""
    return [ModelRow(s.name, s.kind, s.size, s.licence, is_cached(s.name), s.summary) for s in SOURCES.values()]
