"""The transformers engine: whatever transformers' text-to-audio pipeline runs ("transformers:facebook/mms-tts-eng")."""

from __future__ import annotations

import numpy as np

from rba.errors import AudioError, ModelError
from rba.speech.casting import cast, finish, size
from rba.speech.hibari import check_text
from rba.speech.speaker import Speaker

_FAILURES = (OSError, ValueError, KeyError, ImportError)


def _cannot_load(model: str, error: Exception) -> ModelError:
    fix = "give a text-to-speech model of transformers: a local folder or a hub id"
    return ModelError(f"cannot load the speech model: {error}", f"transformers:{model}", fix)


class TextToAudioEngine:
    """Speak with a model of transformers: a folder or a hub id. Its draws follow the seed.

    Models with speakers of their own (VITS) have one cast for each speaker of the bank. The speaker's rate is followed
    where the model has one to set; the voice is resized by playing it faster or slower.
    """

    clones = False

    def __init__(self, model: str, threads: int = 1):
        import torch
        from transformers import pipeline

        self.prepare(model)
        self.name = f"transformers:{model}"
        try:
            self._pipeline = pipeline(
                "text-to-audio", model=model, device="cuda" if torch.cuda.is_available() else "cpu"
            )
        except _FAILURES as error:
            raise _cannot_load(model, error) from error

    @staticmethod
    def prepare(model: str) -> None:
        """Raise ModelError for a name that leads to no model, and for one whose voices are embeddings, not numbers."""
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(model)
        except _FAILURES as error:
            raise _cannot_load(model, error) from error
        if config.model_type == "speecht5":  # it speaks no text without one
            fix = "choose a model that has voices of its own, such as a VITS or MMS one"
            raise ModelError("SpeechT5 needs a speaker embedding with every text", f"transformers:{model}", fix)

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz, peak at most 0.9. Raises AudioError for text it cannot say."""
        import torch

        model, ratio = self._pipeline.model, size(speaker)
        voices = int(getattr(model.config, "num_speakers", 1) or 1)
        extra = {"speaker_id": int(cast(speaker, [str(i) for i in range(voices)]))} if voices > 1 else {}
        if hasattr(model, "speaking_rate"):
            model.speaking_rate = model.config.speaking_rate * speaker.speed / ratio
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            try:
                spoken = self._pipeline(check_text(text), forward_params=extra)
            except (RuntimeError, IndexError, ValueError) as error:
                raise AudioError(f"text cannot be spoken: {error}", text[:40], "leave the text out") from error
        wave = np.atleast_2d(np.asarray(spoken["audio"], np.float32)).mean(0)
        return finish(wave, spoken["sampling_rate"], speaker, ratio)
