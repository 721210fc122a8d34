"""GRPO: answers that earn more than their group's mean become likelier, in small steps.

    L = mean -min( rho_t A, clip(rho_t, 1 - low, 1 + high) A ) + kl KL(pi || pi_ref)_t,   A = (r - mean) / std,
    rho_t = pi(y_t | x^(s), y_<t) / its value under the policy that drew y

(arXiv 2402.03300.) Which mean over tokens and answers it is, and what A is divided by, are settings: "dapo" (arXiv
2503.14476), "grpo", "dr_grpo" (arXiv 2503.20783). A group are the answers to all voices of an instruction, or to one.
"""

from __future__ import annotations

import torch

from rba.alignment.objectives.advantages import group_advantages, group_keys
from rba.alignment.objectives.objective import (
    Batch,
    Objective,
    Request,
    Scored,
    Task,
    Terms,
    gather,
    own_requests,
    rewarded,
    rewards_of,
    sample_of,
)
from rba.alignment.objectives.surrogate import clip_metrics, clipped_surrogate, over_update, ratio, reference_kl
from rba.alignment.settings import AlignSettings


class Grpo(Objective):
    """Needs self-samples with rewards, and the reference unless its weight is 0. One without a reward is left out."""

    name = "grpo"
    needs_samples = needs_rewards = needs_old = compares = True

    def __init__(self, settings: AlignSettings):
        self.settings, self.longest = settings.grpo, settings.sample.max_new_tokens
        self.needs_reference = self.settings.kl > 0

    def requests(self, task: Task) -> list[Request]:
        """All own answers with a reward, each under its voice."""
        return rewarded(task, own_requests(task))

    def terms(self, batch: Batch) -> Terms:
        """Policy gradient and divergence from the reference, over all answers of the update."""
        policy, kl, seen = [], [], []
        whole = rewards_of([sample for task in batch.whole for sample in task.samples])
        for task, scored in zip(batch.tasks, batch.scored):
            samples = [sample_of(task, s.request) for s in scored]
            keys = group_keys(samples, self.settings.group)
            advantages = group_advantages(rewards_of(samples), keys, self.settings.scale, whole)
            for s, sample, advantage in zip(scored, samples, advantages):
                log_ratio_R, weight_R = ratio(s, sample)
                policy.append(self._policy(log_ratio_R, advantage * weight_R))
                seen.append(clip_metrics(log_ratio_R, advantage, self.settings.clip_low, self.settings.clip_high))
                if self.settings.kl:
                    kl.append(_kl(s))
        losses = {"policy": self._reduce(policy, batch)}
        if self.settings.kl:
            losses["kl"] = self.settings.kl * self._reduce(kl, batch)
        return Terms(losses, gather(seen))

    def _policy(self, log_ratio_R: torch.Tensor, advantage_R: torch.Tensor) -> torch.Tensor:
        return clipped_surrogate(log_ratio_R, advantage_R, self.settings.clip_low, self.settings.clip_high)

    def _reduce(self, rows: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        return over_update(rows, self.settings.loss, batch, self.longest)


def _kl(scored: Scored) -> torch.Tensor:
    assert scored.logp_ref_R is not None
    return reference_kl(scored.logp_R, scored.logp_ref_R)


OBJECTIVE = Grpo
