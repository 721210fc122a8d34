"""A SpeechLM that knows its task: whoever asks it, in training, evaluation or use, asks it in the same words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from rba.lm.preamble import Preamble, System, as_preamble
from rba.lm.task import preamble_of
from rba.models.clips import Clips
from rba.models.speechlm import SpeechLM


class Told(SpeechLM):
    """A SpeechLM that is told `task` wherever no other turn is given; its checkpoints keep it.

    `task` is a prompt of `rba.lm.task`. All else, also members beyond the protocol, is that of the model within.
    """

    def __init__(self, speechlm: SpeechLM, task: str):
        self.speechlm, self.task = speechlm, task
        self.lm, self.name = speechlm.lm, speechlm.name

    def encode(self, waves: Sequence[Any]) -> list[torch.Tensor]:
        """Features [T_i, F] of 16 kHz mono waveforms."""
        return self.speechlm.encode(waves)

    def prompts(self, features: Sequence[Clips], system: System = None) -> list[torch.Tensor]:
        """Prompt embeddings [T_i, D] of spoken requests."""
        return self.speechlm.prompts(features, self._turn(system))

    def text_prompts(self, texts: Sequence[str], system: System = None) -> list[torch.Tensor]:
        """Prompt embeddings [T_i, D] of the same requests typed."""
        return self.speechlm.text_prompts(texts, self._turn(system))

    def listen(self, features: Sequence[Clips], system: System = None) -> tuple[list[torch.Tensor], list[str] | None]:
        """`prompts` without gradients, and the words read off the speech, if any are."""
        return self.speechlm.listen(features, self._turn(system))

    def connector_parameters(self) -> Iterator[torch.nn.Parameter]:
        """The weights between encoder and LLM."""
        return self.speechlm.connector_parameters()

    def save(self, folder: Path) -> None:
        """Write a checkpoint folder whose `speechlm.json` holds the `task`, too."""
        self.speechlm.save(folder)
        path = folder / "speechlm.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "task": self.task}, indent=1) + "\n")

    def _turn(self, system: System) -> System:
        """What is said before and around a request: the task where the caller says nothing."""
        return preamble_of(self.task) if as_preamble(system) == Preamble() else system

    def __getattr__(self, name: str) -> Any:
        if name == "speechlm":  # not there yet: a copy is being made
            raise AttributeError(name)
        return getattr(self.speechlm, name)


def told(speechlm: SpeechLM, task: str) -> SpeechLM:
    """The model with `task` for its own; the very same where `task` is empty, also one that has a task already."""
    return Told(untold(speechlm), task) if task else speechlm


def untold(speechlm: SpeechLM) -> SpeechLM:
    """The model within, that is told nothing."""
    return speechlm.speechlm if isinstance(speechlm, Told) else speechlm


def task_of(speechlm: SpeechLM) -> str:
    """What the model is told to do; "" for one that is told nothing."""
    return speechlm.task if isinstance(speechlm, Told) else ""
