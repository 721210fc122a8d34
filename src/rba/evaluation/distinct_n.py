"""Distinct-n across instructions (Li et al. 2016): who says the same to everybody is consistent, and useless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from rba.rewards.words import words


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """The n-grams of a text's normalised words, in order."""
    found = words(text)
    return list(zip(*(found[i:] for i in range(n))))


def shares(texts: Sequence[str], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Per text, its share of the distinct n-grams and its number of n-grams: ([N], [N]).

    distinct-n = sum of the first / sum of the second. An occurrence of an n-gram that occurs c times in all counts
    1/c, so that the c of them make up one distinct n-gram. This splits a property of the whole set into addends, as a
    bootstrap over texts needs: drawing a text twice must not look like repetition.
    """
    grams = [ngrams(text, n) for text in texts]
    counts = Counter(gram for found in grams for gram in found)
    parts = np.array([sum(1 / counts[gram] for gram in found) for found in grams], dtype=float)
    return parts, np.array([len(found) for found in grams], dtype=float)


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams of the texts, in (0, 1]; NaN without any. It falls as texts are added."""
    parts, totals = shares(texts, n)
    return float(parts.sum() / totals.sum()) if totals.sum() else float("nan")
