"""The policy as one module: everything that carries a gradient to the trained weights passes its `forward`.

`DistributedDataParallel`, which acts on a module's forward and backward passes, can stand around it: connector, shared
prompts, answers and the head's log-probs and divergences are all inside. `fully_shard` cannot where the connector is
trained: it puts weights of its own in the place of those that the SpeechLM uses. It stands around the LLM's blocks
(`rba.lm.sharding`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch

from rba.alignment.divergence import Divergence, divergences
from rba.alignment.settings import AlignSettings
from rba.lm.head import vocabulary_head
from rba.lm.likelihood import chosen_logprobs
from rba.lm.scorer import answer_states, precision
from rba.lm.vocabulary import Classes
from rba.models.speechlm import SpeechLM


@dataclass(frozen=True)
class Taught:
    """Measure the divergence `kind` of the answers numbered `rows` from a teacher: its states [N, D] and its head.

    The states belong to all tokens of these answers one after another, or to the `places` [N] among them, if given;
    elsewhere the divergence counts as 0. A teacher with other tokens is compared by `classes`.
    """

    kind: Divergence
    rows: Sequence[int]
    states_ND: torch.Tensor
    head: Any
    places_N: torch.Tensor | None = None
    classes: Classes | None = None


@dataclass(frozen=True)
class Query:
    """What one forward pass measures: answer i (token ids) follows prompt number `owners[i]`.

    Prompts are numbered through `speech`, then through the typed `texts`. With `features`, `speech` holds what the
    connector makes prompts of, with its gradient; else it holds prompts.
    """

    speech: Sequence[torch.Tensor]
    texts: Sequence[str]
    owners: Sequence[int]
    answers: Sequence[Sequence[int]]
    features: bool = False
    layers: bool = False
    taught: Sequence[Taught] = ()


class Measured(NamedTuple):
    """For each answer: log-probs [R] (float32), last hidden states [R, D], mean states of layers, and divergences [R].

    The last two are None where they were not asked for.
    """

    logp: list[torch.Tensor]
    states: list[torch.Tensor]
    layers: list[torch.Tensor | None]
    divergence: list[torch.Tensor | None]


class Policy(torch.nn.Module):
    """A SpeechLM's LLM and, where it is trained, its connector, as they answer a `Query`."""

    def __init__(self, speechlm: SpeechLM, settings: AlignSettings):
        super().__init__()
        self.speechlm, self.settings = speechlm, settings
        self.llm = speechlm.lm.model
        # held here to be seen by wrappers; they are used where the SpeechLM has them
        trained = list(speechlm.connector_parameters()) if settings.train_connector else []
        self.connector = torch.nn.ParameterList(trained)

    def forward(self, query: Query) -> Measured:
        """Measure a query; keeps the graph unless gradients are off."""
        lm, settings = self.speechlm.lm, self.settings
        speech = list(query.speech)
        if query.features and speech:
            speech = self.speechlm.prompts(speech)
        prompts = speech + (self.speechlm.text_prompts(query.texts) if query.texts else [])
        with precision(lm, settings.dtype):
            found = answer_states(
                lm,
                [prompts[owner] for owner in query.owners],
                query.answers,
                settings.batch_tokens,
                query.layers,
                settings.gradient_checkpointing,
            )
            states = [row.last_RD for row in found]
            logp = split(query.answers, partial(chosen_logprobs, self._head), states)
        divergence: list[torch.Tensor | None] = [None] * len(states)
        for asked in query.taught:
            found_R = self._diverge(torch.cat([states[i] for i in asked.rows]), asked)
            for i, row in zip(asked.rows, found_R.split([len(query.answers[i]) for i in asked.rows])):
                divergence[i] = row
        return Measured(logp, states, [row.layers_LD for row in found], divergence)

    def _diverge(self, states_RD: torch.Tensor, asked: Taught) -> torch.Tensor:
        """The divergence [R] at every token of the answers asked about."""
        places_N = asked.places_N
        own_ND = states_RD if places_N is None else states_RD[places_N]
        found_N = divergences(self._head, own_ND, asked.head, asked.states_ND, asked.kind, asked.classes)
        return found_N if places_N is None else found_N.new_zeros(len(states_RD)).index_put((places_N,), found_N)

    @property
    def _head(self) -> Any:
        return vocabulary_head(self.llm)


def split(
    answers: Sequence[Sequence[int]],
    logprobs: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    states: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """Log-probs of many answers' tokens in one call, answer by answer."""
    labels_N = torch.tensor([token for row in answers for token in row], dtype=torch.long, device=states[0].device)
    return list(logprobs(torch.cat(list(states)), labels_N).split([len(row) for row in answers]))
