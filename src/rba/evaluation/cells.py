"""Cells: the utterances that every model answered, with all answers side by side: every comparison is paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rba.data.utterance import Utterance
from rba.errors import DataError
from rba.evaluation.answers import Answer
from rba.evaluation.collect import AGAIN, CASCADE, TEACHER, TEXT


@dataclass(frozen=True)
class Cells:
    """M utterances of N instructions. `owner` [M] is each utterance's instruction, 0 to N - 1, in order.

    `answers` maps a model to its M answers, SpeechLMs first; one that read the text gives the same to every voice.
    `again` are the teacher's second answers [M], None where it gave none.
    """

    utterances: list[Utterance]
    owner: np.ndarray
    n: int
    texts: list[str]
    answers: dict[str, list[Answer]]
    again: list[str | None]

    @property
    def references(self) -> list[str]:
        """The teacher's stored answers [M]."""
        return [u.response for u in self.utterances]

    @property
    def first(self) -> np.ndarray:
        """Which cells are the first of their instruction [M] (bool)."""
        return np.diff(self.owner, prepend=-1) > 0

    def said(self, model: str) -> list[str]:
        """The texts of a model's answers [M]."""
        return [answer.text for answer in self.answers[model]]


def lay_out(utterances: Sequence[Utterance], answers: Sequence[Answer], texts: Mapping[str, str]) -> Cells:
    """Cells of the utterances that all models answered; `texts` are the typed instructions by id.

    Raises DataError where no utterance has an answer from every model.
    """
    by_model: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        by_model.setdefault(answer.model, {})[answer.utterance_id or answer.instruction_id] = answer
    again = by_model.pop(AGAIN, {})
    readers = {model: by_model.pop(model) for model in (TEXT, CASCADE, TEACHER) if model in by_model}
    by_model |= readers
    kept = [u for u in utterances if all(u.id in own or u.instruction_id in own for own in by_model.values())]
    if not kept:
        raise DataError(
            "no test utterance was answered by every model", "evaluation", "check the audio of the test set"
        )
    places = {i: n for n, i in enumerate(dict.fromkeys(u.instruction_id for u in kept))}
    rows = {model: [own.get(u.id) or own[u.instruction_id] for u in kept] for model, own in by_model.items()}
    return Cells(
        utterances=kept,
        owner=np.array([places[u.instruction_id] for u in kept]),
        n=len(places),
        texts=[texts.get(u.instruction_id, u.text) for u in kept],
        answers=rows,
        again=[again[u.instruction_id].text if u.instruction_id in again else None for u in kept],
    )
