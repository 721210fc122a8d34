"""Engines: what turns text into speech. A new one is a module with an `Engine` class and one line in `ENGINES`."""

from __future__ import annotations

import functools
import importlib
from typing import Protocol

import numpy as np

from rba.errors import RecipeError
from rba.speech.speaker import Speaker

# name -> "module:class"; the class is called with `threads`.
ENGINES: dict[str, str] = {"hibari": "rba.speech.hibari:HibariEngine"}


class Engine(Protocol):
    """Text-to-speech: `say` is a pure function of its arguments, down to the bit."""

    name: str

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz in [-1, 1]. Raises AudioError for text it cannot say."""
        ...


@functools.lru_cache(maxsize=4)
def load_engine(name: str, threads: int = 1) -> Engine:
    """The engine with this name, loaded once per process. Raises RecipeError for an unknown name."""
    if name not in ENGINES:
        raise RecipeError("unknown speech engine", name, f"use one of {', '.join(sorted(ENGINES))}")
    module, _, cls = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), cls)(threads=threads)
