"""Served engines: a text-to-speech model behind `/v1/audio/speech` ("openai:http://host/v1?voices=alloy,echo#model")."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from rba.errors import AudioError, RecipeError
from rba.services.client import Client
from rba.services.service import LARGEST_SEED, PREFIX, parse_service
from rba.speech.casting import cast, finish, size
from rba.speech.hibari import check_text
from rba.speech.speaker import Speaker

ENDPOINT = "audio/speech"
_SLOWEST, _FASTEST = 0.25, 4.0  # of the OpenAI interface


class ServedEngine:
    """Speak with a served model's stock voices, one cast for each speaker of the bank.

    The speaker's rate is asked of the server; size and colour of the voice are changed afterwards. What a server makes
    of equal requests is its own affair, but speech once given is kept.
    """

    kind, clones = "openai", False

    def __init__(self, model: str, threads: int = 1):
        self.service = parse_service(PREFIX + model)
        self.name = f"{self.kind}:{self.service.identity.removeprefix(PREFIX)}"
        self.voices = [voice for voice in self.service.voices.split(",") if voice]
        self._client = Client(self.service, decode=bytes)

    @classmethod
    def prepare(cls, model: str) -> None:
        """Raise RecipeError for a name that cannot work, ModelError for a key that is not set."""
        if not cls(model).voices and not cls.clones:
            fix = "add ?voices=NAME,NAME,... before the #: the voices that the server has"
            raise RecipeError("a speech server needs the names of its voices", PREFIX + model, fix)

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz, peak at most 0.9.

        Raises AudioError for text it cannot say, ModelError where the server fails.
        """
        wave, rate = self._ask(text, **self._voice(speaker, seed))
        return finish(wave, rate, self._colour(speaker), self._ratio(speaker))

    def _ask(self, text: str, **asked: Any) -> tuple[np.ndarray, int]:
        payload = {"model": self.service.model, "input": check_text(text), "response_format": "wav", **asked}
        (heard,) = self._client.post_all(ENDPOINT, [payload], _decoded)
        return heard

    def _voice(self, speaker: Speaker, seed: int) -> dict[str, Any]:
        speed = float(np.clip(speaker.speed / self._ratio(speaker), _SLOWEST, _FASTEST))
        return {"voice": cast(speaker, self.voices), "speed": round(speed, 3)}

    def _colour(self, speaker: Speaker) -> Speaker:
        return speaker

    def _ratio(self, speaker: Speaker) -> float:
        return size(speaker)


class ServedCloningEngine(ServedEngine):
    """Speak with the voices of reference clips, which go with every request (vLLM-Omni's `ref_audio`, `ref_text`).

    With the option `x_vector_only_mode` their words stay here, and the server is told to do without (its Qwen3-TTS).
    """

    kind, clones = "openai-clone", True

    def _voice(self, speaker: Speaker, seed: int) -> dict[str, Any]:
        try:
            clip = Path(speaker.reference).read_bytes()
        except OSError as error:
            raise AudioError("the reference clip cannot be read", speaker.reference, "add it again") from error
        kind = Path(speaker.reference).suffix.lstrip(".").lower()
        sent = f"data:audio/{kind};base64,{base64.b64encode(clip).decode()}"
        words: dict[str, Any] = {"ref_text": speaker.reference_text} if speaker.reference_text else {}
        if self.service.x_vector_only_mode:
            words = {"x_vector_only_mode": True}
        return {"ref_audio": sent, **words, "seed": seed % LARGEST_SEED}

    def _colour(self, speaker: Speaker) -> Speaker:
        return Speaker(speaker.id)

    def _ratio(self, speaker: Speaker) -> float:
        return 1.0


def _decoded(body: bytes) -> tuple[np.ndarray, int]:
    """The wave [samples] and its rate. Raises ValueError for what is no audio, so that it is asked for again."""
    try:
        wave, rate = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError("no audio") from error
    return wave.mean(1), rate
