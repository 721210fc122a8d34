"""One request on its way to being an instruction: the rows of a round's shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rba.data.instruction import Instruction, instruction_id

SOURCE, FILE, PAIR = "magpie", "file", "pair"


@dataclass(frozen=True)
class Candidate:
    """A request and what became of it; `reason` says why it was dropped, "" for an instruction.

    `source` is "magpie" for one that the teacher wrote, "file" for one of `synthesis.texts`, "pair" for one with an
    answer from there, too.

    `vector` holds the float16 embedding of an instruction, so that a resumed run compares with the very same numbers.
    """

    text: str
    reason: str = ""
    response: str = ""
    topic: str = ""
    difficulty: str = ""
    split: str = ""
    source: str = SOURCE
    opener: str = ""
    temperature: float = 1.0
    top_p: float = 1.0
    vector: bytes = b""

    @property
    def embedding(self) -> np.ndarray:
        """The embedding [D] as float32."""
        return np.frombuffer(self.vector, np.float16).astype(np.float32)

    def instruction(self) -> Instruction:
        """The instruction that this candidate became."""
        source = f"{self.source}+opener" if self.opener else self.source
        item = instruction_id(self.text)
        return Instruction(item, self.text, self.response, self.topic, self.difficulty, self.split, source)
