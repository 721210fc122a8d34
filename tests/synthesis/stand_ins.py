"""A teacher whose every word is known, and an embedder that counts words: the stage is tested with them."""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np

from rba.teachers.teacher import Reply, Teacher

VERBS = ("paint", "repair", "carry", "polish", "borrow", "measure", "decorate", "bury", "sell", "lift", "draw", "wash")
THINGS = (
    "violin", "ladder", "kettle", "cactus", "statue", "bicycle", "blanket", "pumpkin", "lantern", "canoe",
    "tortoise", "umbrella", "mirror", "trumpet", "basket", "carpet", "helmet", "candle", "guitar", "saddle",
)  # fmt: skip
GOOD = [
    f"How do I {verb} {thing} {place}?" for verb, thing, place in product(VERBS, THINGS, ("outside", "today", "alone"))
]
BAD = {
    "Write a Python function that sorts numbers.": "code",
    "Sure, here is your poem.": "assistant side",
    "Was ist die Hauptstadt von Frankreich?": "not English",
    "Yes": "too short",
}


class ScriptedTeacher(Teacher):
    """Asks one of `GOOD` or `BAD` by the seed; answers by echoing, at times at endless length."""

    name, system = "scripted", ""

    def __init__(self, bad: int = 3, runaway: int = 7):
        self.bad, self.runaway = bad, runaway
        self.rounds: list[int] = []

    def told(self, system):
        return self

    def sample_queries(self, seeds, system, sampling, openers=None):
        self.rounds.append(len(seeds))
        bad = list(BAD)
        return [Reply(bad[s % len(bad)] if s % self.bad == 0 else GOOD[s % len(GOOD)], True) for s in seeds]

    def replies(self, texts, sampling, seeds):
        answers = [f"You can read about it in this little book, which begins with: {text}" for text in texts]
        return [Reply(a, s % self.runaway != 0) for a, s in zip(answers, seeds)]

    def log_likelihood(self, texts, responses):
        return [(-1.0, 1)] * len(texts)


class SilentTeacher(ScriptedTeacher):
    """Returns nothing at all."""

    name = "silent"

    def sample_queries(self, seeds, system, sampling, openers=None):
        return [Reply("", True) for _ in seeds]


class WordEmbedder:
    """Unit vectors of hashed words: texts that share no word are nearly orthogonal."""

    def encode(self, texts):
        rows_ND = np.zeros((len(texts), 256), np.float32)
        for row_D, text in zip(rows_ND, texts):
            for word in text.lower().strip(".?!").split():
                slot = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
                row_D[slot % 256] += 0.2 if len(word) < 4 else 1.0
        return rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-9)
