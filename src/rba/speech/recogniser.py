"""Speech recognisers by name: Whisper or Moonshine in this process, or any model behind a transcription server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from rba.errors import ModelError
from rba.services.service import is_service

KINDS = ("whisper", "moonshine")
"""Families of transformers that are opened here."""


class Recogniser(Protocol):
    """Whatever writes down what is said."""

    def transcribe(self, waves: Sequence[np.ndarray], batch_size: int = ...) -> list[str]:
        """What is heard in each 16 kHz mono wave [samples]."""
        ...


def load_recogniser(name: str, threads: int | None = None) -> Recogniser:
    """The recogniser `name`: a registry name, a local folder, a hub id or a server ("openai:ADDRESS#model").

    `threads` limits torch within this process (None: as it is). Raises ModelError for a model that is not there or of
    another family, RecipeError for a server's name that cannot work.
    """
    if is_service(name):
        from rba.speech.served_transcriber import ServedTranscriber

        return ServedTranscriber(name)
    from rba.weights.opening import NAMES, opening

    kind = kind_of(name)
    with opening("the speech recogniser", name, f"{NAMES}, or a server"):
        if kind == "moonshine":
            from rba.speech.moonshine import MoonshineTranscriber

            return MoonshineTranscriber(name, threads)
        from rba.speech.whisper import Transcriber

        return Transcriber(name, threads)


def prepare(name: str) -> None:
    """Fetch what `name` needs and raise what `load_recogniser` would, before work begins; no weights are loaded."""
    if is_service(name):
        load_recogniser(name)
    else:
        kind_of(name)


def kind_of(name: str) -> str:
    """The family, one of `KINDS`, of a model that is loaded here. Raises ModelError for any other."""
    from transformers import AutoConfig

    from rba.weights.opening import NAMES, opening
    from rba.weights.resolve import resolve

    folder = resolve(name)
    with opening("the speech recogniser", name, f"{NAMES}, or a server"):
        kind = AutoConfig.from_pretrained(folder).model_type
    if kind not in KINDS:
        fix = f"choose a model of the kinds {', '.join(KINDS)}, or name a server that has it"
        raise ModelError(f'no recogniser is made of a "{kind}"', name, fix)
    return kind
