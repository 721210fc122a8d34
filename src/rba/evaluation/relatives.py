"""Near relatives: benchmark items that say what a training text says in other words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rba.data.instruction import Instruction
from rba.data.utterance import Utterance
from rba.rewards.similarity import Embedder, unit_embeddings

_CHUNK = 64


@dataclass(frozen=True)
class Kinship:
    """Texts nearer than `distance` (cosine) to `embedder`, a model, are relatives: what keeps a run's splits apart."""

    embedder: str
    distance: float


NO_KINSHIP = Kinship("", 0.0)
"""No text has relatives."""


class Relatives:
    """Finds the relatives of the `rows` outside the test; `make` loads the embedder when there is something to find."""

    def __init__(self, rows: Iterable[Instruction | Utterance], distance: float, make: Callable[[], Embedder]):
        self._texts = list(dict.fromkeys(row.text for row in rows if row.split != "test"))
        self._distance, self._make = distance, make

    def among(self, texts: Sequence[str]) -> set[str]:
        """Those of `texts` that are nearer to a training text than the distance, by brute force."""
        if not (texts and self._texts and self._distance):
            return set()
        vectors_ND = unit_embeddings(self._embedder, texts).astype(np.float32)
        found = set()
        for start in range(0, len(texts), _CHUNK):
            nearest = 1 - (vectors_ND[start : start + _CHUNK] @ self._trained.T).max(axis=1)
            found |= {texts[start + i] for i in np.flatnonzero(nearest < self._distance).tolist()}
        return found

    @cached_property
    def _embedder(self) -> Embedder:
        return self._make()

    @cached_property
    def _trained(self) -> np.ndarray:
        """Unit embeddings [M, D] of what was trained on."""
        return unit_embeddings(self._embedder, self._texts).astype(np.float32)
