"""Multiple choice: which letter an answer names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.measures import Measure, mean

_LETTERS = (
    re.compile(r"\b(?:answer|option|choice)\b\s*(?:is|would be|:)?\s*[:\-]?\s*[\"'(*]*([A-H])\b(?![a-z'])"),
    re.compile(r"^\W*([A-H])\W*(?:[).:,]|$)", re.MULTILINE),
    re.compile(r"[\"'(*]([A-H])[\"')*]"),
)


def score(items: Sequence[Item], answers: Sequence[str]) -> dict[str, Measure]:
    """Accuracy of the chosen letter; an answer without one is wrong, and counted as `no_answer`."""
    letters = [letter(answer) for answer in answers]
    right = [found == _wanted(item) for item, found in zip(items, letters)]
    return {"accuracy": mean(right), "no_answer": mean([not found for found in letters], better=-1)}


def letter(answer: str) -> str:
    """The option that an answer names: after "answer is", at its beginning, or in brackets.

    "" where it names none: no letter is guessed.
    """
    return next((found[1] for pattern in _LETTERS if (found := pattern.search(answer))), "")


def _wanted(item: Item) -> str:
    return item.references[0].strip().strip("().").upper()[:1] if item.references else ""
