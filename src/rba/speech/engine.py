"""Engines: what turns text into speech.

A new one is a class with the methods of `Engine`: give it a line in `ENGINES`, or name it "package.module:Class" in the
recipe without touching this package.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from rba.errors import RecipeError
from rba.speech.speaker import Speaker

# name -> "module:class"; the class is called with `threads`.
ENGINES: dict[str, str] = {
    "hibari": "rba.speech.hibari:HibariEngine",
    "espeak-ng": "rba.speech.espeak:EspeakEngine",
}


class Engine(Protocol):
    """Text-to-speech: `say` is a pure function of its arguments, to the bit. It follows a speaker as far as it can."""

    name: str

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz in [-1, 1]. Raises AudioError for text it cannot say."""
        ...


def _target(name: str) -> str:
    target = ENGINES.get(name, name)
    if ":" not in target:
        fix = f"use one of {', '.join(sorted(ENGINES))}, or package.module:Class for an engine of your own"
        raise RecipeError("unknown speech engine", name, fix)
    return target


def find_engine(name: str) -> Callable[..., Engine]:
    """The class of the engine with this name. Raises RecipeError for an unknown name or a class that is not there."""
    module, _, cls = _target(name).partition(":")
    try:
        return getattr(importlib.import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"cannot load the speech engine: {error}", name, "install it or check the name") from error


@functools.lru_cache(maxsize=4)
def load_engine(name: str, threads: int = 1) -> Engine:
    """The engine with this name, loaded once per process. Raises RecipeError as `find_engine` does."""
    return find_engine(name)(threads=threads)
