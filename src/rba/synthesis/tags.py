"""Topic and difficulty of a request, read off its sentence embedding by ridge regression on a few hundred examples.

Measured on 64 hand-labelled requests that are not among the examples (all-MiniLM-L6-v2): topic accuracy 0.88 over twelve
topics; difficulty accuracy 0.62, within one level 0.98, rank correlation 0.53 (always saying "easy" scores 0.56, so
difficulties are a tendency, not a measurement). Nearest prototypes reach 0.80 and 0.47. The paper asks an 8B LM instead.
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
SURFACE_SCALE = 0.3
EASIER = 0.5


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
        raw_NS = _surface(texts)
        self._surface_mean, self._surface_std = raw_NS.mean(0), raw_NS.std(0)
        inputs_NF = self._inputs(texts, embedder.encode(texts))
        self._level_mean = levels_N1.mean()
        self._level_F1 = _ridge(inputs_NF, levels_N1 - self._level_mean, DIFFICULTY_RIDGE)

    def tag(self, texts: Sequence[str], vectors_ND: np.ndarray) -> list[Tags]:
        """Tags of texts whose unit embeddings are `vectors_ND`."""
        if not texts:
            return []
        topics_N = (vectors_ND.astype(np.float64) @ self._topic_DC).argmax(1)
        # the examples are spread evenly over the levels, real requests are not: they are half a level easier
        levels_N = (self._inputs(texts, vectors_ND) @ self._level_F1)[:, 0] + self._level_mean - EASIER
        steps_N = np.clip(np.rint(levels_N), 0, len(DIFFICULTIES) - 1).astype(int)
        return [Tags(self.topics[t], DIFFICULTIES[d]) for t, d in zip(topics_N, steps_N)]

    def _inputs(self, texts: Sequence[str], vectors_ND: np.ndarray) -> np.ndarray:
        surface_NS = (_surface(texts) - self._surface_mean) / self._surface_std
        return np.hstack([vectors_ND.astype(np.float64), SURFACE_SCALE * surface_NS])


def _surface(texts: Sequence[str]) -> np.ndarray:
    """Signs of difficulty [N, 4]: mean and longest word length, log word count, words of eight letters or more."""
    rows = []
    for text in texts:
        lengths = [len(w) for w in re.findall(r"[a-z']+", text.lower())] or [1]
        rows.append([np.mean(lengths), max(lengths), np.log(len(lengths)), sum(n >= 8 for n in lengths)])
    return np.array(rows, np.float64)


def _flat(by_label: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    pairs = [(label, text) for label, texts in by_label.items() for text in texts]
    return [label for label, _ in pairs], [text for _, text in pairs]


def _ridge(inputs_ND: np.ndarray, targets_NC: np.ndarray, weight: float) -> np.ndarray:
    """Ridge regression [D, C] in its dual form: there are fewer examples than dimensions."""
    gram_NN = inputs_ND @ inputs_ND.T
    return inputs_ND.T @ np.linalg.solve(gram_NN + weight * np.eye(len(gram_NN)), targets_NC)
