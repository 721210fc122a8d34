"""The updates of a method, counted as the engine does them: on typical tasks, through the objective's own requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rba.alignment.engine import cost
from rba.alignment.objectives.objective import Objective, Request, Sample, Task
from rba.alignment.rollout import round_length
from rba.alignment.settings import AlignSettings
from rba.alignment.trainer import micro_batches
from rba.alignment.work import WorkCounter
from rba.data import seeds
from rba.lm.flops import Decoder
from rba.plan.basis import Basis
from rba.recipe import Recipe
from rba.services.service import is_service

TRIED = 4
"""Updates that the mean is taken over: an objective may draw what an instruction trains on."""


@dataclass(frozen=True)
class Updates:
    """Means over typical updates: FLOPs, tokens through the policy, answers that the teacher reads.

    `largest` is the largest micro-batch: the rows of its prompts, and for each of its answers the lengths of its prompt
    and of itself.
    """

    flops: float
    tokens: float
    taught: float
    largest: tuple[int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class Line:
    """The line of all updates: different instructions reached, and how often self-samples of one are drawn."""

    reached: int
    drawn: int


def learnt_voices(recipe: Recipe) -> int:
    """The utterances of an instruction that alignment learns from."""
    return min(recipe.align.voices or recipe.speech.voices, recipe.speech.voices)


def line_of(train: int, settings: AlignSettings) -> Line:
    """Which instructions the updates of a run reach, and how many its rounds of self-samples hold, on average.

    The line is passes over all of them, each in an order of its own (`rba.alignment.groups.plan`), so that what a round
    takes from two passes is partly the same.
    """
    places = settings.steps * settings.groups_per_step
    reached = min(train, places, settings.instructions or train)
    if not reached:
        return Line(0, 0)
    length = min(places, round_length(settings) * settings.groups_per_step)
    whole, rest = divmod(places, length)
    cycle = reached // math.gcd(reached, length)  # rounds after which one begins where the first did in its pass
    cycles, more = divmod(whole, cycle)
    drawn = _different(np.arange(min(whole, cycle)) * length % reached, length, reached)
    last = _different(np.array([whole * length % reached]), rest, reached)
    return Line(reached, round(cycles * drawn.sum() + drawn[:more].sum() + last.sum()))


def _different(begins: np.ndarray, length: int, size: int) -> np.ndarray:
    """How many different items `length` places hold on average that begin at `begins` of a pass over `size` items."""
    here = np.minimum(length, size - begins)
    behind = np.minimum(length - here, size)
    return here + behind - here * behind / size


def typical(basis: Basis, objective: Objective, number: int, seed: int = 0) -> Task:
    """Instruction `number` of an update, with answers of typical lengths, all different and of different rewards."""
    settings, voices = basis.recipe.align, learnt_voices(basis.recipe)
    names = tuple(f"{number}-{voice}" for voice in range(voices))
    length = basis.lengths.own(settings.sample.max_new_tokens)

    def own(number: int, place: str) -> Sample:
        return Sample(place, (number + 1, *range(1, length)), f"{number}", True, (), float(number))

    count = settings.answers * voices
    spoken = tuple(own(i, names[i // settings.answers]) for i in range(count)) if objective.needs_samples else ()
    typed = tuple(own(count + i, "typed") for i in range(count)) if objective.needs_typed else ()
    reference = (0, *range(1, basis.lengths.reference))
    return Task(names, reference, "the teacher's", spoken, f"typed {number}", True, typed, seed)


def tuned(decoder: Decoder, settings: AlignSettings) -> Decoder:
    """The decoder with what `settings` train of it: an adapter, or all weights of its blocks."""
    full = settings.tuning == "full"
    return replace(decoder, full=full, rank=0 if full else settings.lora.rank)


def updates(basis: Basis, objective: Objective) -> Updates:
    """What one update of a method needs on average. The shape of the policy must be known."""
    settings, counter = basis.recipe.align, counter_of(basis, objective)
    flops = tokens = taught = 0.0
    largest: tuple[int, tuple[tuple[int, int], ...]] = (0, ())
    for update in range(TRIED):
        drawn = [seeds.derive(basis.recipe.seed, "plan", update, i) for i in range(settings.groups_per_step)]
        tasks = [typical(basis, objective, i, seed) for i, seed in enumerate(drawn)]
        wanted = [objective.requests(task) for task in tasks]
        costs = [cost(task, requests, counter.rows) for task, requests in zip(tasks, wanted)]
        flops += counter.flops(tasks, wanted, drawn=False)
        flops += counter.again(tasks, wanted) if settings.gradient_checkpointing else 0
        tokens += sum(costs)
        taught += len({(t.text, r.ids) for t, rs in zip(tasks, wanted) for r in rs if r.teacher or r.divergence})
        parts = micro_batches(costs, settings.batch_tokens)
        most = max(parts, key=lambda part: sum(costs[i] for i in part))
        largest = max(largest, _shape([wanted[i] for i in most], [tasks[i] for i in most], counter))
    return Updates(flops / TRIED, tokens / TRIED, taught / TRIED, largest)


def _shape(wanted: Sequence[Sequence[Request]], tasks: Sequence[Task], counter: WorkCounter) -> tuple[int, Any]:
    """Rows of the prompts of a micro-batch, and the lengths of each answer's prompt and of itself."""
    answers = [("read" if r.voice < 0 else "heard", len(r.ids)) for rs in wanted for r in rs if r.train]
    prompts = {(t.text, r.voice) for t, rs in zip(tasks, wanted) for r in rs if r.train}
    rows = sum(counter.rows("read" if voice < 0 else "heard", "") for _, voice in prompts)
    return rows, tuple((counter.rows(way, ""), length) for way, length in answers)


def counter_of(basis: Basis, objective: Objective) -> WorkCounter:
    """What counts the FLOPs of a method's updates. The shape of the policy must be known."""
    settings, lengths = basis.recipe.align, basis.lengths
    policy = basis.hearing.decoder
    assert policy is not None
    heard, read = lengths.heard, lengths.typed(basis.recipe.synthesis.answer_preamble)

    def rows(way: str, name: str) -> int:
        return heard if way == "heard" else read

    teacher = None
    if objective.needs_teacher and not is_service(settings.token_teacher):
        named = settings.token_teacher
        teacher = basis.text_lm(named) if named else policy
    frame = 0 if settings.train_connector else basis.assumed.frame_before
    return WorkCounter(
        rows,
        tuned(policy, settings),
        teacher and replace(teacher, rank=0),
        objective.needs_reference,
        frame,
    )
