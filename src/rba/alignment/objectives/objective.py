"""What an objective is: it names the answers it wants scored, and turns what was measured on them into loss terms.

    requests = objective.requests(task)              # which answer under which voice, for one instruction
    ...                                              # the trainer scores them; it knows no algorithm
    terms = objective.terms(batch)                   # weighted scalars, means over the batch's instructions

A new objective is one file in this folder that holds an `OBJECTIVE` class, and one test.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from rba.alignment.divergence import Divergence
from rba.alignment.objectives import available
from rba.alignment.settings import AlignSettings
from rba.errors import RecipeError

Role = Literal["reference", "chosen", "rejected", "own"]
TYPED = -1
"""The "voice" of a request that is typed, not spoken."""


@dataclass(frozen=True)
class Sample:
    """The model's own answer to one utterance.

    `ids` hold the end token if the answer is `finished`; `logp` are the log-probs that it was drawn with, `old` those
    that scoring gives under the policy that drew it: empty where that policy trains on it, or nothing asked for them.
    `reward` is None where there is none, and `parts` are what it was summed from: (name, value before scaling and
    weight).
    """

    utterance: str
    ids: tuple[int, ...]
    text: str
    finished: bool
    logp: tuple[float, ...] = ()
    reward: float | None = None
    parts: tuple[tuple[str, float | None], ...] = ()
    old: tuple[float, ...] = ()


@dataclass(frozen=True)
class Task:
    """One instruction as an objective sees it: its voices (utterance ids), the teacher's answer and own answers.

    `reference` are the ids of the answer `response`, end token included if it is `finished`; `samples` are all answers
    to the first voice, then to the next; `typed` those to the typed request `text`. Both are empty for objectives
    without any. `seed` is another one for each instruction and update.
    """

    utterances: tuple[str, ...]
    reference: tuple[int, ...]
    response: str
    samples: tuple[Sample, ...] = ()
    text: str = ""
    finished: bool = True
    typed: tuple[Sample, ...] = ()
    seed: int = 0

    def voice(self, sample: Sample) -> int:
        """The number of the voice that `sample` answers."""
        return self.utterances.index(sample.utterance)


@dataclass(frozen=True)
class Request:
    """Score the answer `ids` under the speech of voice number `voice`, or under the typed request (`TYPED`).

    `sample` is the answer's number among the task's own answers, if it is one of them. What is wanted beyond log-probs:
    the `divergence` from the teacher at every token, the `teacher`'s log-probs, the last hidden `states`, the mean
    state of all `layers`. Without `train` no gradient is kept.
    """

    voice: int
    ids: tuple[int, ...]
    role: Role
    sample: int | None = None
    divergence: Divergence | None = None
    teacher: bool = False
    states: bool = False
    layers: bool = False
    train: bool = True


@dataclass(frozen=True)
class Scored:
    """A request with the policy's log-probs `logp_R` of its tokens and what else it asked for.

    The reference's log-probs; `divergence_R` from the teacher (nats); the teacher's log-probs, which read the text;
    `states_RD`, the hidden states that predict each token; `layers_LD`, for each layer their mean, without a gradient.
    """

    request: Request
    logp_R: torch.Tensor
    logp_ref_R: torch.Tensor | None = None
    divergence_R: torch.Tensor | None = None
    logp_teacher_R: torch.Tensor | None = None
    states_RD: torch.Tensor | None = None
    layers_LD: torch.Tensor | None = None

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
    """Instructions and, in the same order, what was scored for each; `update` are all instructions of the update."""

    tasks: Sequence[Task]
    scored: Sequence[Sequence[Scored]]
    update: Sequence[Task] = ()

    @property
    def whole(self) -> Sequence[Task]:
        """All instructions of the update that this batch is a part of."""
        return self.update or self.tasks

    @property
    def part(self) -> float:
        """This batch's share of the update: a sum over it, over `part`, stands for the sum over the update."""
        return len(self.tasks) / len(self.whole)


@dataclass(frozen=True)
class Terms:
    """Weighted scalar loss terms (means over the batch's instructions) and observations to be averaged for the log.

    `rewards` are those that the objective gives by itself: by name, the (value, tokens) of each answer.
    """

    losses: Mapping[str, torch.Tensor]
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)
    rewards: Mapping[str, Sequence[tuple[float, int]]] = field(default_factory=dict)

    @property
    def total(self) -> torch.Tensor:
        """The loss: a scalar."""
        return total(self.losses.values())

    def settled(self) -> Terms:
        """The same without the graph, on the CPU."""
        return replace(self, losses={name: loss.detach().cpu() for name, loss in self.losses.items()})


class Objective:
    """One method. What it `needs_*` decides what the trainer prepares.

    Of the token teacher it may need whole distributions, or the log-probs of given tokens alone.

    One that `needs_old` weighs own answers by what has become of their probability since they were drawn.
    One that `compares` the answers to an instruction, whoever spoke it, learns nothing where there is one alone.
    `reward_terms` are rewards that it adds to the recipe's where its answers are ranked; `own_lr` is the peak learning
    rate of weights of its own.
    """

    name: str
    needs_samples: bool = False
    needs_typed: bool = False
    needs_rewards: bool = False
    needs_reference: bool = False
    needs_teacher: bool = False
    needs_distributions: bool = False
    needs_old: bool = False
    compares: bool = False
    reward_terms: Mapping[str, float] = {}
    own_lr: float = 0.0

    def __init__(self, settings: AlignSettings):
        raise NotImplementedError

    def own_parameters(self, width: int, device: torch.device) -> dict[str, torch.nn.Parameter]:
        """Make weights that are trained with the policy and not saved with it; its states have `width` channels."""
        return {}

    def requests(self, task: Task) -> list[Request]:
        """The answers to be scored for one instruction."""
        raise NotImplementedError

    def terms(self, batch: Batch) -> Terms:
        """The loss terms of scored instructions."""
        raise NotImplementedError


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


def own_requests(task: Task, **wanted: Any) -> list[Request]:
    """All own answers, each under the voice it answers."""
    return [Request(task.voice(s), s.ids, "own", i, **wanted) for i, s in enumerate(task.samples)]


def typed_requests(task: Task, **wanted: Any) -> list[Request]:
    """All own answers to the typed request, under it."""
    return [Request(TYPED, s.ids, "own", i, **wanted) for i, s in enumerate(task.typed)]


def sample_of(task: Task, request: Request) -> Sample:
    """The own answer that a request is about."""
    assert request.sample is not None
    return (task.typed if request.voice == TYPED else task.samples)[request.sample]


def rewarded(task: Task, requests: Sequence[Request]) -> list[Request]:
    """Those about own answers with a reward."""
    return [request for request in requests if sample_of(task, request).reward is not None]


def rewards_of(samples: Sequence[Sample]) -> list[float]:
    """The rewards that there are."""
    return [sample.reward for sample in samples if sample.reward is not None]
