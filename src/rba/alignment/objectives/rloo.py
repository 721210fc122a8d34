"""RLOO: REINFORCE on whole answers, each compared with the mean of the others in its group.

    L = mean_y -min( rho A, clip(rho, 1 - c, 1 + c) A ),   A_i = R_i - mean_(j != i) R_j
    R = r - kl log( pi / pi_ref ),   rho = pi(y | x^(s)) / its value under the policy that drew y

(arXiv 2402.14740.) An answer is one action: its ratio and its divergence are sums over its tokens.
"""

from __future__ import annotations

from rba.alignment.objectives.advantages import group_keys, leave_one_out
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
    total,
)
from rba.alignment.objectives.surrogate import clip_metrics, clipped_surrogate, ratio
from rba.alignment.settings import AlignSettings


class Rloo(Objective):
    """Needs self-samples with rewards, and the reference unless its weight is 0. One without a reward is left out."""

    name = "rloo"
    needs_samples = needs_rewards = needs_old = compares = True

    def __init__(self, settings: AlignSettings):
        self.settings = settings.rloo
        self.needs_reference = self.settings.kl > 0

    def requests(self, task: Task) -> list[Request]:
        """All own answers with a reward, each under its voice."""
        return rewarded(task, own_requests(task))

    def terms(self, batch: Batch) -> Terms:
        """The policy gradient, a mean over all answers of the update."""
        rows, seen = [], []
        for task, scored in zip(batch.tasks, batch.scored):
            samples = [sample_of(task, s.request) for s in scored]
            worth = [self._worth(reward, s) for reward, s in zip(rewards_of(samples), scored)]
            advantages = leave_one_out(worth, group_keys(samples, self.settings.group))
            for s, sample, advantage in zip(scored, samples, advantages):
                log_ratio, weight = ratio(s, sample, whole=True)
                rows.append(clipped_surrogate(log_ratio, advantage * weight, self.settings.clip, self.settings.clip))
                seen.append(clip_metrics(log_ratio, advantage, self.settings.clip, self.settings.clip))
        answers = len(rewards_of([sample for task in batch.whole for sample in task.samples]))
        return Terms({"policy": total(rows) / max(1, answers) / batch.part}, gather(seen))

    def _worth(self, reward: float, scored: Scored) -> float:
        """The answer's reward less its weighted log-ratio to the reference."""
        return (
            reward if scored.lp_ref is None else reward - self.settings.kl * float(scored.lp.detach() - scored.lp_ref)
        )


OBJECTIVE = Rloo
