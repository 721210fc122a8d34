"""Subsets of the test utterances by what happened to disturb them; `listening` says them again under conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rba.data.utterance import Utterance
from rba.speech.acoustics import Acoustics

ALL, CLEAN = "all", "clean"
LEAST = 8
_NAMES = {"noise": "noise", "room": "room", "band": "telephone", "codec": "codec", "clip": "clipped"}


def conditions_of(acoustics: str) -> set[str]:
    """The conditions that an utterance belongs to: "all", and "clean" or what disturbs it.

    Tempo and equalisation leave an utterance clean; a telephone's codec does not count as a codec again. Raises
    DataError for what are no acoustics.
    """
    tags = {tag.partition(":")[0] for tag in Acoustics.from_json(acoustics or "{}").tags()}
    found = {_NAMES[tag] for tag in tags if tag in _NAMES}
    if "telephone" in found:
        found.discard("codec")
    return {ALL} | (found or {CLEAN})


def masks(utterances: Sequence[Utterance]) -> dict[str, np.ndarray]:
    """Each condition's utterances (bool [M]), "all" first; others if they hold 8 instructions, not all cells."""
    member = [conditions_of(u.acoustics) for u in utterances]
    found = {name: np.array([name in own for own in member]) for name in (CLEAN, *_NAMES.values())}
    return {ALL: np.ones(len(utterances), dtype=bool), **reportable(utterances, found)}


def reportable(utterances: Sequence[Utterance], members: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those subsets (bool [M]) of the utterances that hold 8 instructions, and not all utterances."""
    ids_M = np.array([u.instruction_id for u in utterances])
    return {n: own_M for n, own_M in members.items() if len(set(ids_M[own_M])) >= LEAST and not own_M.all()}
