"""The task of a run: what the model is to do with what it hears, said in the same words wherever it is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rba.errors import RecipeError
from rba.lm.preamble import Preamble

ENGLISH = "en"
CHINESE = frozenset({"zh", "cmn", "yue", "chi", "zho"})
UNSPACED = frozenset({"ja", "jpn", "ko", "kor", "th", "tha", "lo", "km", "my"})
"""Other languages whose words are not told apart by spaces alone."""
PLACE = "{}"


@dataclass(frozen=True)
class TaskSettings:
    """What model and teacher are told to do with a request, in training, evaluation and use; empty: to answer it."""

    prompt: str = ""  # a system turn; with {} in it, a user turn in which {} is what is said: "Translate: {}"
    language: str = ENGLISH  # of the answers, as a code such as "es"; any but "en" makes them translations

    def __post_init__(self) -> None:
        """Raise RecipeError for a prompt with two places for the request, or what is no language's code."""
        if self.prompt.count(PLACE) > 1:
            raise RecipeError("what is said has one place in a prompt", "task.prompt", "write {} once, or not at all")
        if not re.fullmatch(r"[a-z]{2,3}", self.language):
            raise RecipeError("this value cannot work", f"task.language {self.language}", 'give a code such as "es"')

    @property
    def preamble(self) -> Preamble:
        """What stands before and around a request."""
        return preamble_of(self.prompt)

    @property
    def translates(self) -> bool:
        """Whether answers are in another language than requests, which are English."""
        return self.language != ENGLISH

    @property
    def bleu(self) -> str:
        """The reward and judge that measures BLEU in the words of the language: "bleu", "bleu-zh" or "bleu-char"."""
        return {"zh": "bleu-zh", "char": "bleu-char"}.get(word_cut(self.language), "bleu")

    def teaching(self, own: Preamble) -> Preamble:
        """The teacher's preamble `own` with the task in it; a system turn of its own stands for the task's."""
        task = self.preamble
        return replace(own, system=own.system or task.system, before=task.before, after=task.after)

    def written(self, text: str) -> str:
        """Task and request as one text, for judges and reward models."""
        task = self.preamble
        return "\n\n".join(filter(None, (task.system, f"{task.before}{text}{task.after}")))


NO_TASK = TaskSettings()


def word_cut(language: str) -> str:
    """How sacrebleu cuts a language into words: "zh", by "char" where no spaces are written, else "13a"."""
    return "zh" if language in CHINESE else "char" if language in UNSPACED else "13a"


def preamble_of(prompt: str) -> Preamble:
    """A system turn, or what stands around the request in the user's where `prompt` has a place for it."""
    before, place, after = prompt.partition(PLACE)
    return Preamble(before=before, after=after) if place else Preamble(prompt)
