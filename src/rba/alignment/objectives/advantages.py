"""Advantages of answers from their rewards: pure functions on numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import fmean, stdev
from typing import Literal

from rba.alignment.objectives.objective import Task

TINY = 1e-4
"""Keeps a division by a standard deviation of zero finite; TRL's value."""

Scale = Literal["group", "batch", "none"]


def group_advantages(
    rewards: Sequence[float | None], groups: Sequence[Hashable], scale: Scale, batch: Sequence[float] | None = None
) -> list[float | None]:
    """A_i = (r_i - mean of its group) / (std + 1e-4), as GRPO has it (arXiv 2402.03300); None without a reward.

    The std (of a sample, with n - 1) is that of the group, of `batch` (all rewards of the update; by default those
    given), or with `scale` "none" the division is left out (Dr. GRPO, arXiv 2503.20783).
    """
    members: dict[Hashable, list[float]] = {}
    for reward, group in zip(rewards, groups):
        if reward is not None:
            members.setdefault(group, []).append(reward)
    whole = list(batch) if batch is not None else [r for r in rewards if r is not None]
    found: list[float | None] = []
    for reward, group in zip(rewards, groups):
        if reward is None:
            found.append(None)
            continue
        spread = {"group": members[group], "batch": whole, "none": []}[scale]
        divisor = 1.0 if scale == "none" else (stdev(spread) if len(spread) > 1 else 0.0) + TINY
        found.append((reward - fmean(members[group])) / divisor)
    return found


def leave_one_out(rewards: Sequence[float | None], groups: Sequence[Hashable]) -> list[float | None]:
    """A_i = r_i - mean of the other rewards of its group (RLOO, arXiv 2402.14740); 0 for one without others."""
    members: dict[Hashable, list[float]] = {}
    for reward, group in zip(rewards, groups):
        if reward is not None:
            members.setdefault(group, []).append(reward)

    def one(reward: float, group: Hashable) -> float:
        others = len(members[group]) - 1
        return reward - (sum(members[group]) - reward) / others if others else 0.0

    return [None if reward is None else one(reward, group) for reward, group in zip(rewards, groups)]


def group_keys(task: Task, group: Literal["instruction", "voice"]) -> list[Hashable]:
    """For each own answer of an instruction, the group it is compared in."""
    return [sample.utterance if group == "voice" else "instruction" for sample in task.samples]


def all_rewards(tasks: Sequence[Task]) -> list[float]:
    """The rewards of all spoken own answers of an update."""
    return [sample.reward for task in tasks for sample in task.samples if sample.reward is not None]
