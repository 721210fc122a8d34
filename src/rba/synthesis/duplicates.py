"""Exact and near duplicates: a request is compared with every one kept before it."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

_GROWTH = 1024


def normalised(text: str) -> str:
    """The words of a text in lower case without accents and punctuation: equal for exact duplicates."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("'", ""))
    return " ".join(re.findall(r"[a-z0-9]+", plain))


class KeptTexts:
    """The requests kept so far: their words, unit embeddings [N, D] and a label each (their split)."""

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.labels: list[str] = []
        self._vectors_ND = np.zeros((0, 0), np.float32)

    def add(self, text: str, vector_D: np.ndarray, label: str = "") -> None:
        """Keep a request."""
        count = len(self.labels)
        if count >= len(self._vectors_ND):
            grown_ND = np.zeros((count + max(count, _GROWTH), len(vector_D)), np.float32)
            grown_ND[:count] = self._vectors_ND[:count] if count else 0
            self._vectors_ND = grown_ND
        self._vectors_ND[count] = vector_D
        self.words.add(normalised(text))
        self.labels.append(label)

    def holds(self, text: str) -> bool:
        """Whether a request of the same words is kept."""
        return normalised(text) in self.words

    def distances(self, vector_D: np.ndarray) -> np.ndarray:
        """Cosine distances [N] of an embedding to all kept ones, by brute force."""
        return 1 - self._vectors_ND[: len(self.labels)] @ vector_D if self.labels else np.zeros(0, np.float32)

    def labels_within(self, vector_D: np.ndarray, distance: float) -> set[str]:
        """The labels of the kept requests that are nearer than `distance`."""
        near = np.flatnonzero(self.distances(vector_D) < distance)
        return {self.labels[i] for i in near}


def why_duplicate(text: str, vector_D: np.ndarray, kept: KeptTexts, threshold: float) -> str:
    """ "exact duplicate", "near duplicate" or "" for a request among those kept; threshold is a cosine distance."""
    if kept.holds(text):
        return "exact duplicate"
    distances = kept.distances(vector_D)
    return "near duplicate" if len(distances) and distances.min() < threshold else ""
