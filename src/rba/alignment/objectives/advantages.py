"""Advantages of answers from their rewards: pure functions on numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import fmean, stdev
from typing import Literal

from rba.alignment.objectives.objective import Sample

TINY = 1e-4
"""Keeps a division by a standard deviation of zero finite; TRL's value."""

Scale = Literal["group", "batch", "none"]


def group_advantages(
    rewards: Sequence[float], groups: Sequence[Hashable], scale: Scale, batch: Sequence[float] | None = None
) -> list[float]:
    """A_i = (r_i - mean of its group) / (std + 1e-4), as GRPO has it (arXiv 2402.03300).

    The std (of a sample, with n - 1) is that of the group, of `batch` (all rewards of the update; by default those
    given), or with `scale` "none" the division is left out (Dr. GRPO, arXiv 2503.20783).
    """
    members = _members(rewards, groups)
    whole = rewards if batch is None else batch

    def one(reward: float, group: Hashable) -> float:
        centred = reward - fmean(members[group])
        return centred if scale == "none" else centred / (spread(members[group] if scale == "group" else whole) + TINY)

    return [one(reward, group) for reward, group in zip(rewards, groups)]


def leave_one_out(rewards: Sequence[float], groups: Sequence[Hashable]) -> list[float]:
    """A_i = r_i - mean of the other rewards of its group (RLOO, arXiv 2402.14740); 0 for one without others."""
    members = _members(rewards, groups)

    def one(reward: float, group: Hashable) -> float:
        others = len(members[group]) - 1
        return reward - (sum(members[group]) - reward) / others if others else 0.0

    return [one(reward, group) for reward, group in zip(rewards, groups)]


def spread(values: Sequence[float]) -> float:
    """The standard deviation of a sample; 0 of fewer than two."""
    return stdev(values) if len(values) > 1 else 0.0


def _members(rewards: Sequence[float], groups: Sequence[Hashable]) -> dict[Hashable, list[float]]:
    found: dict[Hashable, list[float]] = {}
    for reward, group in zip(rewards, groups):
        found.setdefault(group, []).append(reward)
    return found


def group_keys(samples: Sequence[Sample], group: Literal["instruction", "voice"]) -> list[Hashable]:
    """For each own answer to an instruction, the group it is compared in."""
    return [sample.utterance if group == "voice" else "instruction" for sample in samples]
