"""The settings of the synthesis stage. Importing this loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from rba.errors import RecipeError
from rba.lm.preamble import Example, Preamble
from rba.lm.sampling import Sampling

LONG_ANSWERS = ("drop", "trim")


@dataclass(frozen=True)
class SynthesisSettings:
    """How many instructions the teacher writes, how it draws them, and what is kept.

    The defaults draw requests from the paper's ranges (temperature 1.0 to 1.2, top-p 0.99 to 1.0) and answers as Magpie
    does. A small teacher needs a cooler head: temperatures [0.8, 0.9], top_ps [0.95], openers 0.5.
    """

    train: int = 512  # instructions to align on
    validation: int = 64  # instructions that pick the checkpoint
    test: int = 128  # instructions held out for evaluation
    # file of requests: one a line, or JSON lines with a "text" and, if it is not for the teacher to give, the answer as
    # "response"; also as .gz; empty: the teacher writes
    texts: str = ""
    temperatures: tuple[float, ...] = (1.0, 1.1, 1.2)  # of requests: each round takes one temperature ...
    top_ps: tuple[float, ...] = (0.99, 1.0)  # ... and one nucleus from this grid, in seeded order
    query_tokens: int = 64  # longest request in tokens; one that is not ended by then is dropped
    openers: float = 0.0  # share of requests with seeded first words: our extension for small teachers
    first_words: tuple[str, ...] = ()  # what they are drawn from; empty: the package's list
    first_line: bool = False  # a request is its first line: for a teacher that runs on and answers it
    system: str = ""  # system turn before the pre-query header: the domain; empty: the template's own
    # earlier turns before the pre-query header and before each answer: the domain and the manner, by example
    examples: tuple[Example, ...] = ()
    answer: Sampling = field(default_factory=lambda: Sampling(0.6, 0.9, 160))  # how the answers are drawn
    answer_system: str = ""  # system turn under which the teacher answers; empty: the template's own
    long_answers: str = "drop"  # answers not ended in time: "drop", or "trim" to the last whole sentence
    max_answer_words: int = 0  # words in an answer, at most; 0 = any number
    min_words: int = 3  # words in a request, at least
    max_words: int = 60  # words in a request, at most
    max_chars: int = 400  # characters in a request, at most
    near_duplicate: float = 0.05  # cosine distance below which the later of two requests is dropped
    split_distance: float = 0.15  # requests nearer than this to each other always share a split
    embedder: str = "all-minilm-l6-v2"  # sentence embedder for duplicates and topics
    batch: int = 96  # sequences generated at once
    shard_size: int = 96  # requests per round; a round is the unit of resuming
    attempts: float = 10.0  # requests to draw per instruction wanted before giving up

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        for key in ("train", "validation", "test", "max_answer_words"):
            _check(getattr(self, key) >= 0, key, "give 0 or more")
        _check(self.wanted > 0, "train", "ask for at least one instruction")
        for key in ("query_tokens", "min_words", "batch", "shard_size"):
            _check(getattr(self, key) >= 1, key, "give 1 or more")
        _check(bool(self.temperatures) and min(self.temperatures) > 0, "temperatures", "give one or more above 0")
        _check(bool(self.top_ps) and all(0 < p <= 1 for p in self.top_ps), "top_ps", "give one or more in (0, 1]")
        _check(self.min_words <= self.max_words, "max_words", "it cannot be below min_words")
        _check(0 <= self.openers <= 1, "openers", "give a share from 0 to 1")
        _check(all(words.strip() for words in self.first_words), "first_words", "give no empty ones")
        _check(self.long_answers in LONG_ANSWERS, "long_answers", f"choose {' or '.join(LONG_ANSWERS)}")
        _check(0 <= self.near_duplicate <= self.split_distance <= 2, "split_distance", "0 <= near_duplicate <= it <= 2")
        _check(self.attempts >= 1, "attempts", "give 1 or more")

    @property
    def query_preamble(self) -> Preamble:
        """What stands before the pre-query header."""
        return Preamble(self.system, self.examples)

    @property
    def answer_preamble(self) -> Preamble:
        """What stands before a request that the teacher answers."""
        return Preamble(self.answer_system, self.examples)

    @property
    def wanted(self) -> int:
        """Instructions over all splits."""
        return self.train + self.validation + self.test

    @property
    def quotas(self) -> dict[str, int]:
        """Instructions per split, the held-out splits first."""
        return {"test": self.test, "validation": self.validation, "train": self.train}


def _check(good: bool, key: str, fix: str) -> None:
    if not good:
        raise RecipeError("this value cannot work", f"synthesis.{key}", fix)
