"""Engines: what turns text into speech.

A new one is a class with the methods of `Engine`: give it a line in `ENGINES`, or name it "module:Class" (installed, or
a file of the working folder) in the recipe without touching this package. Engines of `WITH_MODEL` are named with the
model they run: "piper:voice.onnx".
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from rba.errors import RecipeError
from rba.own_code import code_hash, load_module
from rba.speech.speaker import Speaker

# name -> "module:class"; the class is called with `threads`.
ENGINES: dict[str, str] = {
    "hibari": "rba.speech.hibari:HibariEngine",
    "kokoro": "rba.speech.kokoro:KokoroEngine",
    "espeak": "rba.speech.espeak:EspeakEngine",
}

# the same for engines that are named "engine:model"; the class is called with the model and `threads`.
WITH_MODEL: dict[str, str] = {
    "piper": "rba.speech.piper:PiperEngine",
    "transformers": "rba.speech.text_to_audio:TextToAudioEngine",
    "openai": "rba.speech.served:ServedEngine",
    "openai-clone": "rba.speech.served:ServedCloningEngine",
}


WHAT = "the speech engine"


class Engine(Protocol):
    """Text-to-speech: `say` is a pure function of its arguments, to the bit. It follows a speaker as far as it can.

    `clones` says that it speaks with the voice of the recording `speaker.reference`; a class without it does not clone.
    A class may have a static `prepare()` (or `prepare(model)`), which is called once before any work begins: it fetches
    what is missing, or raises an RbaError that says what to install.
    """

    name: str
    clones: bool

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz in [-1, 1]. Raises AudioError for text it cannot say."""
        ...


def model_of(name: str) -> str:
    """The model in an engine's name, such as "voice.onnx" in "piper:voice.onnx"; empty for other engines."""
    kind, _, model = name.partition(":")
    return model if kind in WITH_MODEL else ""


def is_served(name: str) -> bool:
    """Whether the engine with this name asks a server for its speech."""
    return name.partition(":")[0] in ("openai", "openai-clone")


def _target(name: str) -> str:
    if name in ENGINES:
        return ENGINES[name]
    kind, colon, model = name.partition(":")
    if kind in WITH_MODEL and model:
        return WITH_MODEL[kind]
    if not kind or not colon or not model:
        with_model = ", ".join(f"{kind}:MODEL" for kind in sorted(WITH_MODEL))
        fix = f"use one of {', '.join(sorted(ENGINES))}, {with_model}, or package.module:Class for one of your own"
        raise RecipeError("unknown speech engine", name, fix)
    return name


def engine_hash(name: str) -> str:
    """The SHA-256 of the file of an engine of the user's own, so that an edit makes its speech out of date; else "".

    Raises RecipeError as `find_engine` does.
    """
    return code_hash(name, WHAT) if _target(name) == name else ""


def _class(name: str) -> type:
    place = _target(name)
    module, _, cls = place.partition(":")
    try:
        return getattr(load_module(place, WHAT) if place == name else importlib.import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"cannot load {WHAT}: {error}", name, "install it or check the name") from error


def find_engine(name: str) -> Callable[..., Engine]:
    """What makes the engine with this name, when it is called with `threads`.

    Raises RecipeError for an unknown name or a class that is not there.
    """
    model = model_of(name)
    return functools.partial(_class(name), model) if model else _class(name)


def clones(name: str) -> bool:
    """Whether the engine with this name clones voices. Raises RecipeError as `find_engine` does."""
    return bool(getattr(_class(name), "clones", False))


def prepare(name: str) -> None:
    """Have the engine's packages and weights ready before any work begins.

    Raises RecipeError as `find_engine` does, and whatever RbaError says what is missing.
    """
    if found := getattr(_class(name), "prepare", None):
        found(*filter(None, (model_of(name),)))


@functools.lru_cache(maxsize=4)
def load_engine(name: str, threads: int = 1) -> Engine:
    """The engine with this name, loaded once per process. Raises RecipeError as `find_engine` does."""
    return find_engine(name)(threads=threads)
