"""The teacher of token-level objectives: it reads the typed request and judges every token of an answer to it.

A model in memory gives whole distributions; one behind a server gives the log-probs of the tokens that were drawn. It
needs the student's vocabulary. By default it is the SpeechLM's own LLM with its adapters switched off: no second
copy is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import torch

from rba.alignment.objectives import available
from rba.alignment.objectives.objective import load_objective
from rba.alignment.policy import split
from rba.alignment.settings import AlignSettings
from rba.errors import ModelError, RecipeError
from rba.lm import chat
from rba.lm.head import vocabulary_head
from rba.lm.likelihood import chosen_logprobs
from rba.lm.load import TextLM, load_lm
from rba.lm.preamble import System
from rba.lm.scorer import answer_states, precision
from rba.models.adapters import reference
from rba.models.speechlm import SpeechLM
from rba.services.service import is_service, parse_service
from rba.teachers.server import ServerTeacher

_PROBE = "Naïve 12,345 words;\n\tsome `code` = {1: 'a'}?"


class TokenTeacher(Protocol):
    """What answers to typed requests are measured with; `lm` is the model where it is in memory."""

    lm: TextLM | None

    def logprobs(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Log-probs [R_i] of each token of the answers; no gradients."""
        ...


class LocalTokenTeacher(TokenTeacher):
    """A causal LM `lm` that reads what `prompts` makes of typed requests, inside the context `still`."""

    lm: TextLM

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
        # an adapter on the head itself is the policy's, and is still on when logits are taken
        return vocabulary_head(self.lm.model, bare=True)

    def logprobs(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Log-probs [R_i] of each token of the answers; no gradients."""
        return self.logprobs_of(answers, self.states(texts, answers))

    @torch.no_grad()
    def logprobs_of(self, answers: Sequence[Sequence[int]], states: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The same from the answers' `states`, where they are at hand."""
        return split(answers, partial(chosen_logprobs, self.head), states) if answers else []

    def states(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """The last hidden states [R_i, D] that predict each token of the answers to typed requests; no gradients."""
        if not texts:
            return []
        different = list(dict.fromkeys(texts))
        read = dict(zip(different, self.prompts(different)))
        with self.still(), torch.no_grad(), precision(self.lm, self.settings.dtype):
            rows = answer_states(self.lm, [read[text] for text in texts], answers, self.settings.batch_tokens)
        return [row.last_RD for row in rows]


class ServedTokenTeacher(TokenTeacher):
    """A model behind a server, asked for the log-probs of given tokens; it gives no distributions."""

    lm = None

    def __init__(self, teacher: ServerTeacher, device: torch.device):
        self.teacher, self.device = teacher, device

    def logprobs(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Log-probs [R_i] of each token of the answers. Raises ModelError for a server that gives none."""
        return [torch.tensor(row, device=self.device) for row in self.teacher.token_logprobs(texts, answers)]


def own_teacher(speechlm: SpeechLM, settings: AlignSettings, system: System = "") -> LocalTokenTeacher:
    """The SpeechLM's own LLM as it was before alignment, under `system`."""
    read = partial(speechlm.text_prompts, system=system)
    return LocalTokenTeacher(speechlm.lm, read, partial(reference, speechlm), settings)


def load_token_teacher(speechlm: SpeechLM, settings: AlignSettings, system: System = "") -> TokenTeacher:
    """The teacher that `align.token_teacher` names, or the SpeechLM's own LLM, under `system`.

    Raises ModelError for a model that cannot be loaded, and for one whose tokens are not the SpeechLM's, RecipeError as
    `check_served` does.
    """
    name = settings.token_teacher
    if not name:
        return own_teacher(speechlm, settings, system)
    if is_service(name):
        check_served(settings)
        served = ServerTeacher(parse_service(name), system)
        check_vocabulary(speechlm.lm, served.tokenizer, chat.end_ids(served.tokenizer)[0], settings)
        return ServedTokenTeacher(served, speechlm.lm.device)
    lm = load_lm(name, settings.dtype)
    check_vocabulary(speechlm.lm, lm.tokenizer, lm.end_ids[0], settings)

    def prompts(texts: Sequence[str]) -> list[torch.Tensor]:
        return [lm.embed(chat.prompt_ids(lm.tokenizer, text, system)) for text in texts]

    return LocalTokenTeacher(lm, prompts, torch.no_grad, settings)


def check_served(settings: AlignSettings) -> None:
    """Raise RecipeError where `align.token_teacher` is a server and one of the methods needs whole distributions."""
    for method in settings.methods:
        if load_objective(method, settings).needs_distributions:
            fix = "set align.opd.form=sampled or align.rba_opd.dense=0, or name a model that is loaded here"
            what = f"a server gives log-probs of drawn tokens, and {method} as it is set needs whole distributions"
            raise RecipeError(what, f"align.token_teacher {settings.token_teacher}", fix)


def check_vocabulary(student: TextLM, other: Any, end: int, settings: AlignSettings) -> None:
    """Raise ModelError unless the student writes with the tokens of tokenizer `other` and ends a turn with `end`."""
    own = student.tokenizer
    same = own.get_vocab() == other.get_vocab() and own(_PROBE)["input_ids"] == other(_PROBE)["input_ids"]
    if same and student.end_ids[0] == end:
        return
    why = "ends its turns with another token" if same else "has another tokenizer"
    works = [name for name in available() if not load_objective(name, settings).needs_teacher]
    fix = f"its distributions cannot be compared: leave align.token_teacher empty, or use {', '.join(works)}"
    raise ModelError(f"the token teacher {why} than {student.name}", settings.token_teacher, fix)
