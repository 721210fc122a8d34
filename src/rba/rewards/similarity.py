"""Embedding similarity: how close in meaning an answer is to the teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Embedder(Protocol):
    """Anything that turns texts into vectors."""

    def encode(self, texts: Sequence[str]) -> Any:
        """Embeddings [N, D] of N texts."""
        ...


def unit_embeddings(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    """Unit-length embeddings [N, D] (float64); equal texts are embedded once, a blank text has the zero vector."""
    distinct = sorted({t.strip() for t in texts} - {""})
    if not distinct:
        return np.zeros((len(texts), 1))
    vectors = np.asarray(embedder.encode(distinct), dtype=np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    table = np.concatenate([vectors, np.zeros((1, vectors.shape[-1]))])
    row = {text: i for i, text in enumerate(distinct)} | {"": len(distinct)}
    return table[[row[t.strip()] for t in texts]]


class Similarity:
    """The reward cos(embedding of the answer, embedding of the reference), in [-1, 1].

    It measures topic more than truth: an answer with a wrong fact stays close. 0 for a blank answer.
    """

    def __init__(self, embedder: Embedder, name: str = "similarity"):
        self.embedder, self.name = embedder, name

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str],
        **columns: Any,
    ) -> list[float | None]:
        """One value per completion; None where the reference is blank."""
        both = unit_embeddings(self.embedder, [*completions, *reference])
        cosines = (both[: len(completions)] * both[len(completions) :]).sum(-1)
        return [float(c) if r.strip() else None for c, r in zip(cosines, reference)]
