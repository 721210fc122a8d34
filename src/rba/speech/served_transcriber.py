"""A served recogniser: a model behind `/v1/audio/transcriptions` ("openai:http://host/v1#model")."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile

from rba.data.audio import SAMPLE_RATE
from rba.services.client import Client
from rba.services.form import Form
from rba.services.service import parse_service

ENDPOINT = "audio/transcriptions"


class ServedTranscriber:
    """English transcription by a server, at temperature 0; many clips are under way at once, and each text is kept.

    Raises RecipeError for a name that cannot work, ModelError for a key that is not set.
    """

    def __init__(self, name: str):
        self.service = parse_service(name)
        self._client = Client(self.service)

    def transcribe(self, waves: Sequence[np.ndarray], batch_size: int = 0) -> list[str]:
        """What is heard in each 16 kHz mono wave [samples]; `batch_size` means nothing here.

        Raises ModelError where the server refuses, or fails until the retries are used up.
        """
        return self._client.post_all(ENDPOINT, [self._request(wave) for wave in waves], _text)

    def _request(self, wave: np.ndarray) -> Form:
        # WAV, because whisper.cpp takes nothing else
        buffer = io.BytesIO()
        soundfile.write(buffer, np.clip(wave, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
        fields = {"model": self.service.model, "language": "en", "temperature": "0", "response_format": "json"}
        return Form(fields, "clip.wav", buffer.getvalue(), "audio/wav")


def _text(tree: Any) -> str:
    """The words of an answer. Raises TypeError for one that holds none."""
    text = tree["text"]
    if not isinstance(text, str):
        raise TypeError("text is no text")
    return " ".join(text.split())
