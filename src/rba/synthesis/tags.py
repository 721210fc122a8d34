"""Topic and difficulty of a request, read off its sentence embedding by ridge regression on a few hundred examples.

Measured on 64 hand-labelled requests that are not among the examples (all-MiniLM-L6-v2): topic accuracy 0.91 over
twelve topics (nearest prototype 0.80, likelihood of the label under SmolLM2-135M 0.23). Difficulty: accuracy 0.61,
within one level 0.97, rank correlation 0.32, where always saying "easy" scores 0.56; read it as a tendency of many
requests, not as a fact about one. The paper asks an 8B LM for both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

import numpy as np

TOPICS = ("Information Seeking", "Advice Seeking", "Creative Writing", "Planning", "Reasoning", "Brainstorming",
          "Role Playing", "Others")  # fmt: skip
DROPPED_TOPICS = ("Editing", "Coding & Debugging", "Math", "Data analysis")
DIFFICULTIES = ("very easy", "easy", "medium", "hard", "very hard")

PAPER_TOPIC_SHARES = dict(zip(TOPICS, (0.603, 0.185, 0.127, 0.042, 0.028, 0.002, 0.001, 0.012)))
PAPER_DIFFICULTY_SHARES = dict(zip(DIFFICULTIES, (0.261, 0.392, 0.287, 0.052, 0.008)))

TOPIC_RIDGE, DIFFICULTY_RIDGE = 1.0, 0.3
WORD_LENGTH_SCALE = 0.2
EASIER = 0.25


class Embedder(Protocol):
    """Anything that turns texts into unit vectors."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, D] of N texts."""
        ...


@dataclass(frozen=True)
class Tags:
    """A request's topic (one of the twelve) and difficulty (one of the five)."""

    topic: str
    difficulty: str


@cache
def examples(name: str) -> dict[str, list[str]]:
    """Example requests per label; `name` is "topics" or "difficulties"."""
    return json.loads((files("rba.synthesis") / f"{name}.json").read_text(encoding="utf-8"))


class Tagger:
    """Topic and difficulty from an embedder's vectors; fitted on the package's examples in a moment."""

    def __init__(self, embedder: Embedder):
        labels, texts = _flat(examples("topics"))
        self.topics = tuple(examples("topics"))
        targets_NC = np.eye(len(self.topics))[[self.topics.index(label) for label in labels]]
        vectors_ND = embedder.encode(texts).astype(np.float64)
        self._topic_DC = _ridge(vectors_ND, targets_NC - 1 / len(self.topics), TOPIC_RIDGE)

        labels, texts = _flat(examples("difficulties"))
        levels_N1 = np.array([[DIFFICULTIES.index(label)] for label in labels], np.float64)
        lengths_N = _word_lengths(texts)
        self._length_mean, self._length_std = lengths_N.mean(), lengths_N.std()
        inputs_NF = self._inputs(texts, embedder.encode(texts))
        self._level_mean = levels_N1.mean()
        self._level_F1 = _ridge(inputs_NF, levels_N1 - self._level_mean, DIFFICULTY_RIDGE)

    def tag(self, texts: Sequence[str], vectors_ND: np.ndarray) -> list[Tags]:
        """Tags of texts whose unit embeddings are `vectors_ND`."""
        if not texts:
            return []
        topics_N = (vectors_ND.astype(np.float64) @ self._topic_DC).argmax(1)
        # the examples are spread evenly over the levels, real requests are not: they are easier
        levels_N = (self._inputs(texts, vectors_ND) @ self._level_F1)[:, 0] + self._level_mean - EASIER
        steps_N = np.clip(np.rint(levels_N), 0, len(DIFFICULTIES) - 1).astype(int)
        return [Tags(self.topics[t], DIFFICULTIES[d]) for t, d in zip(topics_N, steps_N)]

    def _inputs(self, texts: Sequence[str], vectors_ND: np.ndarray) -> np.ndarray:
        lengths_N = (_word_lengths(texts) - self._length_mean) / self._length_std
        return np.hstack([vectors_ND.astype(np.float64), WORD_LENGTH_SCALE * lengths_N[:, None]])


def _word_lengths(texts: Sequence[str]) -> np.ndarray:
    """Mean letters per word [N]: the one sign of difficulty that the length of a request does not fool."""
    return np.array([np.mean([len(w) for w in re.findall(r"[a-z']+", text.lower())] or [1]) for text in texts])


def _flat(by_label: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    pairs = [(label, text) for label, texts in by_label.items() for text in texts]
    return [label for label, _ in pairs], [text for _, text in pairs]


def _ridge(inputs_ND: np.ndarray, targets_NC: np.ndarray, weight: float) -> np.ndarray:
    """Ridge regression [D, C] in its dual form: there are fewer examples than dimensions."""
    gram_NN = inputs_ND @ inputs_ND.T
    return inputs_ND.T @ np.linalg.solve(gram_NN + weight * np.eye(len(gram_NN)), targets_NC)
