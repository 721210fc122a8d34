"""From a model's name to something `from_pretrained` loads."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from rba.errors import ModelError
from rba.weights.fetch import fetch, is_cached, path
from rba.weights.source import SOURCES

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
    if name in SOURCES:
        return str(fetch(name))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    if _HUB_ID.fullmatch(name):
        return name
    nearest = difflib.get_close_matches(name.lower(), SOURCES, n=1, cutoff=0.4)
    hint = f'did you mean "{nearest[0]}"?' if nearest else f"the registry holds {', '.join(SOURCES)}"
    fix = f"{hint} A local model folder or a hub id like org/name works too"
    raise ModelError(f'no model is called "{name}"', "neither in the registry nor a folder", fix)


def models_table() -> list[ModelRow]:
    """Every model of the registry with whether it is in the cache."""
    return [ModelRow(s.name, s.kind, s.size, s.licence, is_cached(s.name), s.summary) for s in SOURCES.values()]
