"""Stand-ins for the models of an evaluation: tiny random SpeechLMs, and others whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from rba.evaluation.collect import Loaders
from rba.rewards.words import words
from rba.teachers.teacher import Reply, Teacher
from rba.testing.tiny_speechlm import tiny_speechlm


class WordEmbedder:
    """A bag of words in 64 dimensions."""

    def encode(self, texts):
        rows = np.zeros((len(texts), 64))
        for row, text in zip(rows, texts):
            for word in words(text) or ["-"]:
                row[sum(map(ord, word)) % 64] += 1
        return rows


class EchoTeacher(Teacher):
    """Answers with the request; finds an answer as likely as it is short."""

    name = "echo"

    def told(self, system):
        return self

    def replies(self, texts, sampling, seeds, system=None):
        return [Reply(f"an answer to {text}") for text in texts]

    def log_likelihood(self, texts, responses):
        return [(-float(len(r) ** 2), len(r)) for r in responses]


class OneWordTranscriber:
    """Hears "say hello" in everything."""

    def transcribe(self, waves):
        return ["say hello"] * len(waves)


class Log:
    """Loaders of stand-ins that remember what was loaded, and may be told to fail."""

    def __init__(self, fail_at: str = "", reward_model: Any = None):
        self.loaded: list[str] = []
        self.fail_at, self.reward_model = fail_at, reward_model

    def loaders(self) -> Loaders:
        """What the stage takes in place of its own."""
        return Loaders(
            self._speechlm,
            self._named("transcriber", OneWordTranscriber),
            self._named("teacher", EchoTeacher),
            self._named("embedder", WordEmbedder),
            reward_model=self.reward_model,
        )

    def _speechlm(self, name):
        self._note(str(name))
        model = tiny_speechlm(int(str(name)[-1]))
        model.encoder_name = f"tiny-whisper-{str(name)[-1]}"
        return model

    def _named(self, name, make):
        def load():
            self._note(name)
            return make()

        return load

    def _note(self, name):
        if name == self.fail_at:
            raise KeyboardInterrupt(name)
        self.loaded.append(name)
