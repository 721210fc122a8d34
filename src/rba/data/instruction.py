"""An instruction: what a user asks, with the teacher's answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Instruction:
    """One self-synthesised request and the teacher's response to it.

    `source` names how the text was made (e.g. "magpie"); `split` is decided per instruction, before any speech exists.
    """

    id: str
    text: str
    response: str = ""
    topic: str = ""
    difficulty: str = ""
    split: str = "train"
    source: str = ""


def instruction_id(text: str) -> str:
    """16 hex digits that identify an instruction by its words (case and spacing do not matter)."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:16]
