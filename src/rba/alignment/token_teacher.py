"""The teacher of token-level objectives: it reads the typed request and judges every token of an answer to it.

A model in memory gives whole distributions; one behind a server gives the log-probs of the tokens that were drawn. By
default it is the SpeechLM's own LLM with its adapters switched off: no second copy is in memory. A model with other
tokens reads the same text in its own; it is compared at the breaks that both have (`rba.lm.retelling`), by classes of
tokens (`rba.lm.vocabulary`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import torch

from rba.alignment.divergence import Divergence
from rba.alignment.objectives import available
from rba.alignment.objectives.objective import load_objective
from rba.alignment.policy import Taught, split
from rba.alignment.settings import AlignSettings
from rba.errors import ModelError, RecipeError
from rba.lm import chat
from rba.lm.head import vocabulary_head
from rba.lm.likelihood import chosen_logprobs
from rba.lm.load import TextLM, load_lm
from rba.lm.preamble import System
from rba.lm.retelling import Reteller
from rba.lm.scorer import answer_states, precision
from rba.lm.vocabulary import Classes, Vocabulary, read_vocabulary, shared_classes
from rba.models.adapters import reference
from rba.models.speechlm import SpeechLM
from rba.services.service import is_service, parse_service
from rba.teachers.server import ServerTeacher

_PROBE = "Naïve 12,345 words;\n\tsome `code` = {1: 'a'}?"


class TokenTeacher(Protocol):
    """What answers to typed requests are measured with; `lm` is the model where it is in memory.

    Log-probs of tokens that it cannot write are NaN.
    """

    lm: TextLM | None

    def logprobs(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Log-probs [R_i] of each token of the answers; no gradients."""
        ...


class LocalTokenTeacher(TokenTeacher):
    """A causal LM `lm` that reads what `prompts` makes of typed requests, inside the context `still`.

    One with other tokens than the student's reads answers as `retell` writes them, and is compared by `classes`.
    """

    lm: TextLM

    def __init__(
        self,
        lm: TextLM,
        prompts: Callable[[Sequence[str]], list[torch.Tensor]],
        still: Callable[[], AbstractContextManager[None]],
        settings: AlignSettings,
        retell: Reteller | None = None,
        classes: Classes | None = None,
    ):
        self.lm, self.prompts, self.still, self.settings = lm, prompts, still, settings
        self.retell, self.classes = retell, classes

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
        told = _told(self.retell, answers)
        return _spread(self.retell, answers, split(told, partial(chosen_logprobs, self.head), states)) if told else []

    def states(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """The last hidden states [R'_i, D] that predict each token, as this teacher writes it, of the answers to typed
        requests; no gradients."""
        if not texts:
            return []
        different = list(dict.fromkeys(texts))
        read = dict(zip(different, self.prompts(different)))
        told = _told(self.retell, answers)
        written = [i for i, row in enumerate(told) if row]  # half a character is nothing that could be written
        asked = [read[texts[i]] for i in written], [told[i] for i in written]
        with self.still(), torch.no_grad(), precision(self.lm, self.settings.dtype):
            rows = iter(answer_states(self.lm, *asked, self.settings.batch_tokens))
            nothing_RD = self.lm.embed([])
        return [next(rows).last_RD if row else nothing_RD for row in told]

    def taught(
        self, kind: Divergence, rows: Sequence[int], answers: Sequence[Sequence[int]], states: Sequence[torch.Tensor]
    ) -> Taught:
        """What the policy is to be measured with at the tokens of `answers`, numbered `rows`, given their `states`."""
        if self.retell is None:
            return Taught(kind, rows, torch.cat(list(states)), self.head)
        places, found, start = list[int](), list[torch.Tensor](), 0
        for answer, states_RD in zip(answers, states):
            told = self.retell(answer)
            alike = [told.chunks[i] for i in told.comparable]
            places += [start + chunk.start for chunk in alike]
            found.append(states_RD[[chunk.other_start for chunk in alike]])
            start += len(answer)
        places_N = torch.tensor(places, dtype=torch.long, device=self.lm.device)
        return Taught(kind, rows, torch.cat(found), self.head, places_N, self.classes)


class ServedTokenTeacher(TokenTeacher):
    """A model behind a server, asked for the log-probs of given tokens; it gives no distributions.

    One with other tokens than the student's is asked about answers as `retell` writes them.
    """

    lm = None

    def __init__(self, teacher: ServerTeacher, device: torch.device, retell: Reteller | None = None):
        self.teacher, self.device, self.retell = teacher, device, retell

    def logprobs(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Log-probs [R_i] of each token of the answers. Raises ModelError for a server that gives none."""
        rows = self.teacher.token_logprobs(texts, _told(self.retell, answers))
        return _spread(self.retell, answers, [torch.tensor(row, device=self.device) for row in rows])


def _told(retell: Reteller | None, answers: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Answers as the teacher writes them."""
    return [answer if retell is None else retell(answer).ids for answer in answers]


def _spread(
    retell: Reteller | None, answers: Sequence[Sequence[int]], logps: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Log-probs of answers' tokens as the teacher writes them, over the tokens that the student wrote."""
    return [logp if retell is None else retell(answer).spread(logp) for answer, logp in zip(answers, logps)]


def own_teacher(speechlm: SpeechLM, settings: AlignSettings, system: System = "") -> LocalTokenTeacher:
    """The SpeechLM's own LLM as it was before alignment, under `system`."""
    read = partial(speechlm.text_prompts, system=system)
    return LocalTokenTeacher(speechlm.lm, read, partial(reference, speechlm), settings)


def load_token_teacher(speechlm: SpeechLM, settings: AlignSettings, system: System = "") -> TokenTeacher:
    """The teacher that `align.token_teacher` names, or the SpeechLM's own LLM, under `system`.

    Raises ModelError for a model that cannot be loaded, and for one whose tokens cannot be compared with the
    SpeechLM's, RecipeError as `check_served` does.
    """
    name, student = settings.token_teacher, speechlm.lm
    if not name:
        return own_teacher(speechlm, settings, system)
    if is_service(name):
        check_served(settings)
        served = ServerTeacher(parse_service(name), system)
        apart = vocabularies(student, served.tokenizer, chat.end_ids(served.tokenizer), settings)
        return ServedTokenTeacher(served, student.device, Reteller(*apart) if apart else None)
    lm = load_lm(name, settings.dtype)

    def prompts(texts: Sequence[str]) -> list[torch.Tensor]:
        return [lm.embed(chat.prompt_ids(lm.tokenizer, text, system)) for text in texts]

    apart = vocabularies(student, lm.tokenizer, lm.end_ids, settings)
    if not apart:
        return LocalTokenTeacher(lm, prompts, torch.no_grad, settings)
    classes = shared_classes(*apart)
    retell = Reteller(*apart, classes)
    return LocalTokenTeacher(lm, prompts, torch.no_grad, settings, retell, classes.to(student.device))


def check_served(settings: AlignSettings) -> None:
    """Raise RecipeError where `align.token_teacher` is a server and one of the methods needs whole distributions."""
    for method in settings.methods:
        if load_objective(method, settings).needs_distributions:
            fix = "set align.opd.form=sampled or align.rba_opd.dense=0, or name a model that is loaded here"
            what = f"a server gives log-probs of drawn tokens, and {method} as it is set needs whole distributions"
            raise RecipeError(what, f"align.token_teacher {settings.token_teacher}", fix)


def same_tokens(student: TextLM, other: Any, end: int) -> bool:
    """Whether the student writes with the tokens of tokenizer `other` and ends a turn with `end`."""
    own = student.tokenizer
    if own.get_vocab() != other.get_vocab() or chat.taught_end(student.end_ids, student.name) != end:
        return False
    return bool(own(_PROBE)["input_ids"] == other(_PROBE)["input_ids"])


def vocabularies(
    student: TextLM, other: Any, ends: Sequence[int], settings: AlignSettings
) -> tuple[Vocabulary, Vocabulary] | None:
    """The vocabularies of the student and of tokenizer `other`, whose turns end with `ends`; None if they are one.

    Raises ModelError where they differ and the tokens of either are no pieces of text.
    """
    if same_tokens(student, other, chat.taught_end(ends, settings.token_teacher)):
        return None
    own, found = read_vocabulary(student.tokenizer, student.end_ids), read_vocabulary(other, ends)
    if own and found:
        return own, found
    works = [name for name in available() if not load_objective(name, settings).needs_teacher]
    fix = f"leave align.token_teacher empty, or use {', '.join(works)}"
    what = f"the token teacher has other tokens than {student.name}, and they cannot be compared as pieces of text"
    raise ModelError(what, settings.token_teacher, fix)
