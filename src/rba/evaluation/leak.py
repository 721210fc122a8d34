"""Leaks: nothing that is tested may have been seen in training, neither words nor speakers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from rba.data.instruction import Instruction, instruction_id
from rba.data.utterance import Utterance
from rba.errors import DataError
from rba.models import folder_of
from rba.models.heard import HEARD
from rba.rewards.words import wording


def unheard(test: Sequence[Utterance], model: str | Path) -> list[Utterance]:
    """The utterances of `test` whose words the connector of `model` was not trained on.

    Raises DataError where it was trained on those of all.
    """
    known = heard_by(model)
    new = [u for u in test if u.instruction_id not in known]
    if test and not new:
        count = len({u.instruction_id for u in test})
        what = f"none of the {count} test instructions is new: the connector was trained on the words of all"
        raise DataError(what, f"model {model}", "raise synthesis.test, or synthesize with another seed")
    return new


def heard_by(model: str | Path) -> frozenset[str]:
    """The instruction ids of what the connector of `model` was trained on.

    A checkpoint folder may hold them as `heard_texts.npy` (uint64); without it there are none.
    """
    listing = folder_of(model) / HEARD
    return frozenset(f"{number:016x}" for number in np.load(listing).tolist()) if listing.is_file() else frozenset()


class Trained:
    """Texts that were trained on: those of `rows` outside the test, by their wording, and `heard` ones, by id."""

    def __init__(self, rows: Iterable[Instruction | Utterance], heard: Collection[str] = ()):
        self._keys = {wording(row.text) for row in rows if row.split != "test"}
        self._heard = heard

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and (wording(text) in self._keys or instruction_id(text) in self._heard)


def check_leaks(
    test: Sequence[Utterance], utterances: Iterable[Utterance], instructions: Iterable[Instruction] = ()
) -> None:
    """Raise DataError if an instruction (by id or normalised words) or a speaker of `test` occurs in training.

    `utterances` and `instructions` are all of a run's. Instructions must be absent from training and validation (which
    picks the checkpoint); speakers from training.
    """
    own_ids = {u.instruction_id: u for u in test}
    own_words = {wording(u.text): u for u in test}
    voices = {(u.engine, u.speaker): u for u in test}
    for seen in utterances:
        if seen.split == "test":
            continue
        if seen.split == "train" and (seen.engine, seen.speaker) in voices:
            _leak("speaker", seen.speaker, voices[seen.engine, seen.speaker].id, seen.id)
        _check_words(seen.instruction_id, seen.text, seen.id, own_ids, own_words)
    for instruction in instructions:
        if instruction.split != "test":
            _check_words(instruction.id, instruction.text, instruction.id, own_ids, own_words)


def _check_words(
    instruction_id: str, text: str, where: str, ids: dict[str, Utterance], texts: dict[str, Utterance]
) -> None:
    if instruction_id in ids:
        _leak("instruction", instruction_id, ids[instruction_id].id, where)
    if (found := wording(text)) in texts:
        _leak("request", f'"{text[:60]}"', texts[found].id, where)


def _leak(kind: str, what: str, test: str, train: str) -> None:
    fix = "split the data again: run synthesize and speak in a new folder"
    raise DataError(f"test data leak into training: the same {kind} {what}", f"test {test}, training {train}", fix)
