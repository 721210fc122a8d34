"""Preference pairs of an instruction's self-samples; what cannot make a pair is named, so that it can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rba.alignment.objectives.objective import Sample, Task

Outcome = Literal["pair", "tie", "same", "unrewarded"]


@dataclass(frozen=True)
class Pairing:
    """The numbers of the best and the worst answer, or why there is no pair.

    "tie": the rewards differ by no more than eps; "same": the two texts are equal; "unrewarded": fewer than two
    answers have a reward.
    """

    outcome: Outcome
    chosen: int = -1
    rejected: int = -1


def pair_across_voices(samples: Sequence[Sample], eps: float) -> Pairing:
    """s+ = argmax r and s- = argmin r over an instruction's answers (RBA-Group, Eqs. 2-4).

    Answers without a reward are left out. Equal rewards are told apart by the answers themselves, never by their
    order, so that the order of the voices changes nothing.
    """
    ranked = sorted(
        ((s.reward, s.ids, s.utterance, number) for number, s in enumerate(samples) if s.reward is not None),
    )
    if len(ranked) < 2:
        return Pairing("unrewarded")
    worst, best = ranked[0], ranked[-1]
    if best[0] - worst[0] <= eps:
        return Pairing("tie")
    if samples[best[-1]].text == samples[worst[-1]].text:
        return Pairing("same")
    return Pairing("pair", best[-1], worst[-1])


def all_pairs(samples: Sequence[Sample], eps: float) -> list[tuple[int, int]]:
    """(chosen, rejected) for every two answers of different text whose rewards differ by more than eps."""
    rewarded = [(number, s) for number, s in enumerate(samples) if s.reward is not None]
    return [
        (i, j)
        for i, good in rewarded
        for j, bad in rewarded
        if good.reward - bad.reward > eps and good.text != bad.text  # type: ignore[operator]
    ]


def pairs_within_voices(task: Task, eps: float) -> list[tuple[int, int]]:
    """(chosen, rejected) of every voice whose answers have a best and a worst (DPO)."""
    found = []
    for utterance in task.utterances:
        own = [number for number, s in enumerate(task.samples) if s.utterance == utterance]
        pairing = pair_across_voices([task.samples[number] for number in own], eps)
        if pairing.outcome == "pair":
            found.append((own[pairing.chosen], own[pairing.rejected]))
    return found


def pairs_with_teacher(task: Task) -> list[int]:
    """The numbers of the self-samples that differ from the teacher's answer (RBA-Single, Eqs. 6-8)."""
    answer = task.response.strip()
    return [i for i, s in enumerate(task.samples) if s.text.strip() != answer and s.ids != task.reference]
