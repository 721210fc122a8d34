"""Figures of an update for the log, under TRL's names where it has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

from rba.alignment.objectives.objective import Batch, Sample, Task, Terms, sample_of
from rba.alignment.objectives.surrogate import reference_kl
from rba.rewards.deaf import did_not_hear
from rba.rewards.summary import length_correlation, summarise


def mean(values: Sequence[float]) -> float:
    """The mean, or NaN of nothing."""
    return fmean(values) if values else math.nan


def loss_metrics(terms: Sequence[tuple[Terms, float]]) -> dict[str, float]:
    """Loss terms summed over micro-batches with their weights, means of all observations, rewards of the objective."""
    found: dict[str, float] = {"loss": 0.0}
    seen: dict[str, list[float]] = {}
    given: dict[str, list[tuple[float, int]]] = {}
    for part, share in terms:
        for name, loss in part.losses.items():
            value = share * float(loss.detach())
            found["loss"] += value
            found[f"loss/{name}"] = found.get(f"loss/{name}", 0.0) + value
        for name, values in part.metrics.items():
            seen.setdefault(name, []).extend(values)
        for name, rows in part.rewards.items():
            given.setdefault(name, []).extend(rows)
    for name, rows in given.items():
        found |= summarise({name: [value for value, _ in rows]}, [tokens for _, tokens in rows])
    return found | {name: mean(values) for name, values in seen.items() if values}


def sample_metrics(tasks: Sequence[Task], rewarded: bool = True) -> dict[str, float]:
    """Length, end, deafness and entropy of the self-samples, and their rewards where they are `rewarded` at all.

    `reward_missing` is the share without one, and all that there is to say where none has. `frac_reward_zero_std` is
    the share of tied groups. The entropy (nats a token) is estimated by the samples themselves: minus the mean log-prob
    of a drawn token.
    """
    samples = [sample for task in tasks for sample in task.samples]
    if not samples:
        return {}
    found = {
        "completions/mean_length": mean([len(s.ids) for s in samples]),
        "completions/clipped_ratio": mean([float(not s.finished) for s in samples]),
        "completions/deaf": mean([float(did_not_hear(s.text)) for s in samples]),
        "entropy": -mean([logp for s in samples for logp in s.logp]),
    }
    typed = [s.reward for task in tasks for s in task.typed if s.reward is not None]
    if rewarded:
        found |= _reward_metrics(tasks, samples) | _part_metrics(samples)
    return found | ({"reward/typed": mean(typed)} if typed else {})


def rollout_drift(batch: Batch) -> dict[str, list[float]]:
    """How far the log-probs of own answers lie from those they were drawn with, nats a token.

    On fresh answers (`refresh: online`) it is the difference of generation and scoring; else the policy's steps too.
    """
    gaps = []
    for task, rows in zip(batch.tasks, batch.scored):
        for row in rows:
            if row.request.sample is not None and (drawn := sample_of(task, row.request).logp):
                logp_R = row.logp_R.detach()
                gaps.append(float((logp_R - logp_R.new_tensor(drawn)).abs().mean()))
    return {"sampling/sampling_logp_difference/mean": gaps} if gaps else {}


def reference_drift(batch: Batch) -> dict[str, list[float]]:
    """How far the policy lies from its reference on the own answers that were scored under both, nats a token.

    The estimate of KL(policy || reference) is that of GRPO's loss ("k3"), a mean over each answer's tokens.
    """
    both = [row for rows in batch.scored for row in rows if row.request.sample is not None]
    drift = [
        float(reference_kl(row.logp_R.detach(), row.logp_ref_R).mean()) for row in both if row.logp_ref_R is not None
    ]
    return {"kl/samples": drift} if drift else {}


def _reward_metrics(tasks: Sequence[Task], samples: Sequence[Sample]) -> dict[str, float]:
    rewards = [s.reward for s in samples if s.reward is not None]
    if not rewards:
        return {"reward_missing": 1.0}
    groups = [[s.reward for s in task.samples if s.reward is not None] for task in tasks]
    spread = [pstdev(group) for group in groups if len(group) > 1]
    found = {"reward": mean(rewards), "reward_std": pstdev(rewards), "reward_missing": 1 - len(rewards) / len(samples)}
    if spread:
        found |= {"reward_group_std": mean(spread), "frac_reward_zero_std": mean([float(s == 0) for s in spread])}
    related = length_correlation([s.reward for s in samples], [len(s.ids) for s in samples])
    return found if related is None else found | {"reward_length_correlation": related}


def _part_metrics(samples: Sequence[Sample]) -> dict[str, float]:
    """The same of each part of the reward, `rewards/NAME/...`, as it was before scaling and weight."""
    rows = [dict(s.parts) for s in samples]
    names = dict.fromkeys(name for row in rows for name in row)
    return summarise({name: [row.get(name) for row in rows] for name in names}, [len(s.ids) for s in samples])
