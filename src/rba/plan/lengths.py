"""How long typical requests, prompts and answers of a recipe are, in tokens and seconds."""

from __future__ import annotations

from dataclasses import dataclass

from rba.lm.preamble import System, turns
from rba.plan.assumptions import Assumptions
from rba.plan.speechlm import Hearing
from rba.recipe import Recipe


@dataclass(frozen=True)
class Lengths:
    """Tokens of a request, seconds of an utterance, and the rows of the prompts that they become.

    `audio_rows` are those that an audio LM makes of a second of speech.
    """

    recipe: Recipe
    assumed: Assumptions
    compact: bool
    audio_rows: float

    @classmethod
    def of(cls, recipe: Recipe, assumed: Assumptions, model: Hearing) -> Lengths:
        """Those of a recipe whose model is `model`."""
        return cls(recipe, assumed, model.compact, assumed.audio_rows or model.audio_rows)

    @property
    def _words(self) -> float:
        return min(self.assumed.words, self.recipe.synthesis.max_words)

    @property
    def request(self) -> int:
        """Tokens of a kept instruction."""
        return tokens(self._words * self.assumed.tokens_a_word)

    @property
    def seconds(self) -> float:
        """Seconds of an utterance."""
        return self._words * self.assumed.seconds_a_word

    def before(self, system: System) -> int:
        """Rows of the pre-query header under a preamble: its words, and a frame for each of its example turns."""
        said = turns(system)
        words = sum(len(turn["content"].split()) for turn in said)
        frames = self.assumed.frame_after * sum(turn["role"] != "system" for turn in said)
        return self.assumed.frame_before + frames + round(words * self.assumed.tokens_a_word)

    def typed(self, system: System = "") -> int:
        """Rows of a typed request in its chat frame."""
        return self.before(system) + self.request + self.assumed.frame_after

    @property
    def heard(self) -> int:
        """Rows of a spoken request: about its tokens from the connector of the compact model, else so many a second."""
        spoken = self.request if self.compact else tokens(self.seconds * self.audio_rows)
        return self.assumed.frame_before + spoken + self.assumed.frame_after

    @property
    def drawn(self) -> int:
        """Tokens of a request as it is drawn."""
        return min(self.recipe.synthesis.query_tokens, tokens(self.assumed.drawn_tokens))

    @property
    def answered(self) -> int:
        """Tokens of a teacher's answer, kept or not."""
        return tokens(self.assumed.teacher_fill * self.recipe.synthesis.answer.max_new_tokens)

    @property
    def response(self) -> int:
        """Tokens of a kept answer."""
        return tokens(self.assumed.reference_fill * self.recipe.synthesis.answer.max_new_tokens)

    @property
    def reference(self) -> int:
        """The same as far as alignment trains on it."""
        return min(self.recipe.align.max_response, self.response)

    def own(self, limit: int) -> int:
        """Tokens of the model's own answer under a limit."""
        return tokens(self.assumed.own_fill * limit)


def tokens(value: float) -> int:
    """A whole number of tokens, one at least."""
    return max(1, round(value))
