"""What an objective is: it names the answers it wants scored, and turns their log-probs into loss terms.

    requests = objective.requests(task)              # which answer under which voice, for one instruction
    ...                                              # the trainer scores them; it knows no algorithm
    terms = objective.terms(batch)                   # weighted scalars, means over the batch's instructions

A new objective is one file in this folder that holds an `OBJECTIVE` class, and one test.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch

from rba.alignment.objectives import available
from rba.alignment.settings import AlignSettings
from rba.errors import RecipeError

Role = Literal["reference", "chosen", "rejected"]


@dataclass(frozen=True)
class Sample:
    """The model's own answer to one utterance.

    `ids` hold the end token if the answer is `finished`; `logp` are the policy's log-probs when it was drawn; `reward`
    is None where there is none, and `parts` are what it was summed from: (name, value before scaling and weight).
    """

    utterance: str
    ids: tuple[int, ...]
    text: str
    finished: bool
    logp: tuple[float, ...] = ()
    reward: float | None = None
    parts: tuple[tuple[str, float | None], ...] = ()


@dataclass(frozen=True)
class Task:
    """One instruction as an objective sees it: its voices (utterance ids), the teacher's answer, one sample a voice.

    `reference` are the ids of the answer `response`, end token included; `samples` is empty for objectives without any.
    """

    utterances: tuple[str, ...]
    reference: tuple[int, ...]
    response: str
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Request:
    """Score the answer `ids` under the speech of voice number `voice`."""

    voice: int
    ids: tuple[int, ...]
    role: Role


@dataclass(frozen=True)
class Scored:
    """A request with the policy's log-probs `logp_R` of its tokens and, if asked for, the reference's."""

    request: Request
    logp_R: torch.Tensor
    logp_ref_R: torch.Tensor | None = None

    @property
    def lp(self) -> torch.Tensor:
        """log pi(answer | speech): the sum over its tokens, a scalar."""
        return self.logp_R.sum()

    @property
    def lp_ref(self) -> torch.Tensor | None:
        """The same under the reference, or None."""
        return None if self.logp_ref_R is None else self.logp_ref_R.sum()


@dataclass(frozen=True)
class Batch:
    """Instructions and, in the same order, what was scored for each."""

    tasks: Sequence[Task]
    scored: Sequence[Sequence[Scored]]


@dataclass(frozen=True)
class Terms:
    """Weighted scalar loss terms (means over the batch's instructions) and observations to be averaged for the log."""

    losses: Mapping[str, torch.Tensor]
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def total(self) -> torch.Tensor:
        """The loss: a scalar."""
        return total(self.losses.values())


class Objective(Protocol):
    """One method. What it `needs_*` decides what the trainer prepares."""

    name: str
    needs_samples: bool
    needs_rewards: bool
    needs_reference: bool

    def requests(self, task: Task) -> list[Request]:
        """The answers to be scored for one instruction."""
        ...

    def terms(self, batch: Batch) -> Terms:
        """The loss terms of scored instructions."""
        ...


def load_objective(name: str, settings: AlignSettings) -> Objective:
    """The objective of a method's name. Raises RecipeError for an unknown one."""
    if name not in available():
        raise RecipeError(f"unknown method {name!r}", "align.methods", f"choose from {', '.join(available())}")
    module = importlib.import_module(f"{__package__}.{name.replace('-', '_')}")
    return module.OBJECTIVE(settings)


def total(losses: Iterable[torch.Tensor]) -> torch.Tensor:
    """The sum of scalars, also of none; a zero on the CPU may stand among scalars of any device."""
    return sum(losses, torch.zeros(()))


def gather(rows: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Observations of several instructions, or pairs, as one."""
    names = {name: None for row in rows for name in row}
    return {name: [value for row in rows for value in row.get(name, ())] for name in names}


def by_voice(scored: Sequence[Scored], role: Role) -> dict[int, Scored]:
    """The scored answers of a role, by voice."""
    return {s.request.voice: s for s in scored if s.request.role == role}
