"""PPO: a clipped policy gradient whose baseline, the value of what has been said so far, is learnt beside the policy.

    L = mean_t -min( rho_t A_t, clip(rho_t, 1 - c, 1 + c) A_t ) + w mean_t (V_t - R_t)^2 / 2
    A = GAE( r_t, V_t ),   R_t = A_t + V_t,   r_t = -kl log( pi / pi_ref )_t, and the answer's reward at its last token

(arXiv 1707.06347, as for language models in arXiv 2203.02155.) The value head reads the policy's last hidden state
without moving it. Answers train once, so returns are taken with the values of now and value steps are not clipped.
"""

from __future__ import annotations

from statistics import fmean

import torch

from rba.alignment.objectives.advantages import TINY, spread
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
from rba.alignment.objectives.surrogate import clip_metrics, clipped_surrogate, over_update, ratio
from rba.alignment.objectives.value import ValueHead, explained_variance, gae
from rba.alignment.settings import AlignSettings


class Ppo(Objective):
    """Needs self-samples with rewards, and the reference unless its weight is 0. One without a reward is left out."""

    name = "ppo"
    needs_samples = needs_rewards = needs_old = True

    def __init__(self, settings: AlignSettings):
        self.settings, self.own_lr = settings.ppo, settings.ppo.value_lr
        self.needs_reference = self.settings.kl > 0
        self.head: ValueHead | None = None

    def own_parameters(self, width: int, device: torch.device) -> dict[str, torch.nn.Parameter]:
        """Those of the value head."""
        self.head = ValueHead(width).to(device)
        return dict(self.head.named_parameters())

    def requests(self, task: Task) -> list[Request]:
        """All own answers with a reward, each under its voice."""
        return rewarded(task, own_requests(task, states=True))

    def terms(self, batch: Batch) -> Terms:
        """Policy and value loss, means over all tokens of the update."""
        policy, value, values, returns, seen = [], [], [], [], []
        rewards = rewards_of([sample for task in batch.whole for sample in task.samples])
        for task, scored in zip(batch.tasks, batch.scored):
            for s in scored:
                sample = sample_of(task, s.request)
                assert self.head is not None and s.states_RD is not None and sample.reward is not None
                values_R = self.head(s.states_RD.detach())
                rewards_R = self._rewards(s, self._scaled(sample.reward, rewards))
                advantages_R = gae(rewards_R, values_R.detach(), self.settings.discount, self.settings.trace)
                log_ratio_R, weight_R = ratio(s, sample)
                clip = (self.settings.clip, self.settings.clip)
                policy.append(clipped_surrogate(log_ratio_R, advantages_R * weight_R, *clip))
                values.append(values_R.detach())
                returns.append(advantages_R + values[-1])
                value.append((values_R - returns[-1]).square() / 2)
                seen.append(clip_metrics(log_ratio_R, advantages_R, *clip))
        if values:
            found = torch.cat(values), torch.cat(returns)
            seen.append(
                {"value/mean": [float(found[0].mean())], "value/explained_variance": [explained_variance(*found)]}
            )
        mean = [over_update(rows, "dapo", batch, 1) for rows in (policy, value)]
        return Terms({"policy": mean[0], "value": self.settings.value_weight * mean[1]}, gather(seen))

    def _scaled(self, reward: float, rewards: list[float]) -> float:
        """The reward as the update's others make it look, so that one size of value fits every kind of reward."""
        if self.settings.scale == "none":
            return reward
        return (reward - fmean(rewards)) / (spread(rewards) + TINY)

    def _rewards(self, scored: Scored, reward: float) -> torch.Tensor:
        """The reward of every token."""
        rewards_R = torch.zeros_like(scored.logp_R.detach())
        if scored.logp_ref_R is not None:
            rewards_R = -self.settings.kl * (scored.logp_R.detach() - scored.logp_ref_R)
        rewards_R[-1] += reward
        return rewards_R


OBJECTIVE = Ppo
