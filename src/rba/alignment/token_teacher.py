"""The teacher of token-level objectives: it reads the typed request and gives a distribution for every token.

It needs the student's vocabulary. By default it is the SpeechLM's own LLM with its adapters switched off: no second
copy is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch

from rba.alignment.objectives import available
from rba.alignment.objectives.objective import load_objective
from rba.alignment.scorer import answer_states, precision
from rba.alignment.settings import AlignSettings
from rba.errors import ModelError
from rba.lm import chat
from rba.lm.load import TextLM, load_lm
from rba.lm.preamble import System
from rba.models.adapters import reference
from rba.models.speechlm import SpeechLM

_PROBE = "Naïve 12,345 words;\n\tsome `code` = {1: 'a'}?"


class TokenTeacher:
    """A causal LM `lm` that reads what `prompts` makes of typed requests, inside the context `still`."""

    def __init__(
        self,
        lm: TextLM,
        prompts: Callable[[Sequence[str]], list[torch.Tensor]],
        still: Callable[[], AbstractContextManager[None]],
        settings: AlignSettings,
    ):
        self.lm, self.prompts, self.still, self.settings = lm, prompts, still, settings

    @property
    def head(self) -> Any:
        """The projection from states to the vocabulary."""
        head = self.lm.model.get_output_embeddings()
        # an adapter on the head itself is the policy's, and is still on when logits are taken
        return getattr(head, "base_layer", head)

    def states(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """The last hidden states [R_i, D] that predict each token of the answers to typed requests; no gradients."""
        if not texts:
            return []
        different = list(dict.fromkeys(texts))
        read = dict(zip(different, self.prompts(different)))
        with self.still(), torch.no_grad(), precision(self.lm, self.settings.dtype):
            rows = answer_states(self.lm, [read[text] for text in texts], answers, self.settings.batch_tokens)
        return [row.last_RD for row in rows]


def own_teacher(speechlm: SpeechLM, settings: AlignSettings, system: System = "") -> TokenTeacher:
    """The SpeechLM's own LLM as it was before alignment, under `system`."""
    read = partial(speechlm.text_prompts, system=system)
    return TokenTeacher(speechlm.lm, read, partial(reference, speechlm), settings)


def load_token_teacher(speechlm: SpeechLM, settings: AlignSettings, system: System = "") -> TokenTeacher:
    """The teacher that `align.token_teacher` names, or the SpeechLM's own LLM, under `system`.

    Raises ModelError for a model that cannot be loaded, and for one whose tokens are not the SpeechLM's.
    """
    if not settings.token_teacher:
        return own_teacher(speechlm, settings, system)
    lm = load_lm(settings.token_teacher, settings.dtype)
    check_vocabulary(speechlm.lm, lm, settings)

    def prompts(texts: Sequence[str]) -> list[torch.Tensor]:
        return [lm.embed(chat.prompt_ids(lm.tokenizer, text, system)) for text in texts]

    return TokenTeacher(lm, prompts, torch.no_grad, settings)


def check_vocabulary(student: TextLM, teacher: TextLM, settings: AlignSettings) -> None:
    """Raise ModelError unless both models write with the same tokens and end a turn with the same one."""
    own, other = student.tokenizer, teacher.tokenizer
    same = own.get_vocab() == other.get_vocab() and own(_PROBE)["input_ids"] == other(_PROBE)["input_ids"]
    if same and student.end_ids[0] == teacher.end_ids[0]:
        return
    why = "ends its turns with another token" if same else "has another tokenizer"
    works = [name for name in available() if not load_objective(name, settings).needs_teacher]
    fix = f"its distributions cannot be compared: leave align.token_teacher empty, or use {', '.join(works)}"
    raise ModelError(f"the token teacher {why} than {student.name}", settings.token_teacher, fix)
