"""Scores of single answers: agreement with the teacher, hearing, length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rba.evaluation.answers import READ
from rba.evaluation.cells import Cells
from rba.evaluation.collect import TEACHER
from rba.rewards.deaf import did_not_hear
from rba.rewards.recall import f1, recall
from rba.rewards.similarity import unit_embeddings
from rba.rewards.words import words
from rba.speech.word_errors import word_errors


class RememberingEmbedder:
    """An embedder that embeds each text once; `make` loads the real one when it is first needed."""

    def __init__(self, make: Any):
        self._make = make
        self._embedder: Any = None
        self._known: dict[str, np.ndarray] = {}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings [N, D]."""
        new = [t for t in dict.fromkeys(texts) if t not in self._known]
        if new:
            self._embedder = self._embedder or self._make()
            self._known |= zip(new, np.asarray(self._embedder.encode(new)))
        return np.stack([self._known[t] for t in texts])


def score(cells: Cells, model: str, embedder: Any) -> dict[str, np.ndarray]:
    """Scores [M] of a model's answers by name; NaN where there is none.

    "recall", "f1" and "similarity" compare with the teacher's stored answer (for the teacher: its second answer with
    its first), "deaf" and "finished" are 0 or 1, "length" counts words and "tokens" tokens.
    """
    rows, said = cells.answers[model], cells.said(model)
    compared = cells.again if model == TEACHER else said
    scores = {
        "recall": _values([None if c is None else recall(c, r) for c, r in zip(compared, cells.references)]),
        "f1": _values([None if c is None else f1(c, r) for c, r in zip(compared, cells.references)]),
        "similarity": _similarity(compared, cells.references, embedder),
        "deaf": np.array([did_not_hear(t) for t in said], dtype=float),
        "length": np.array([len(words(t)) for t in said], dtype=float),
        "tokens": np.array([row.tokens for row in rows], dtype=float),
    }
    if model != TEACHER:
        scores["finished"] = np.array([row.finished for row in rows], dtype=float)
    return scores


def _values(found: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def _similarity(answers: Sequence[str | None], references: Sequence[str], embedder: Any) -> np.ndarray:
    both = unit_embeddings(embedder, [*(a or "" for a in answers), *references])
    cosines = (both[: len(references)] * both[len(references) :]).sum(-1)
    there = np.array([a is not None and bool(r.strip()) for a, r in zip(answers, references)])
    return np.where(there, cosines, np.nan)


def transcript_errors(cells: Cells, model: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Word errors and reference words ([M], [M]) of what a model heard, both normalised; None if it heard nothing.

    Substitutions, deletions and insertions against the utterance's text; their sums' ratio is the word error rate.
    """
    rows = cells.answers[model]
    if all(row.heard is None for row in rows):
        return None
    pairs = [(0, 0) if r.heard is None else word_errors(u.text, r.heard) for u, r in zip(cells.utterances, rows)]
    errors, counts = (np.array(column, dtype=float) for column in zip(*pairs))
    return errors, counts


def answer_embeddings(cells: Cells, model: str, embedder: Any) -> np.ndarray | None:
    """Unit embeddings [N, V, D] of a model's answers by instruction and voice, NaN where absent; None if it read."""
    if all(row.voice == READ for row in cells.answers[model]):
        return None
    vectors = unit_embeddings(embedder, cells.said(model))
    place_M = np.arange(len(cells.owner)) - np.searchsorted(cells.owner, cells.owner)
    grid = np.full((cells.n, int(place_M.max()) + 1, vectors.shape[-1]), np.nan)
    grid[cells.owner, place_M] = vectors
    return grid
