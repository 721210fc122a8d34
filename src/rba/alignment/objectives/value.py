"""The value of what has been said so far, and advantages from it."""

from __future__ import annotations

import torch
import torch.nn.functional as F


class ValueHead(torch.nn.Module):
    """Hidden states [R, D] -> values [R] (float32); all values are 0 before training."""

    def __init__(self, width: int):
        super().__init__()
        self.out = torch.nn.Linear(width, 1)
        torch.nn.init.zeros_(self.out.weight)
        torch.nn.init.zeros_(self.out.bias)

    def forward(self, states_RD: torch.Tensor) -> torch.Tensor:
        """The value at each position, after a normalisation without weights."""
        states_RD = states_RD.float()
        return self.out(F.layer_norm(states_RD, states_RD.shape[-1:]))[:, 0]


def gae(rewards_R: torch.Tensor, values_R: torch.Tensor, discount: float, trace: float) -> torch.Tensor:
    """Generalised advantage estimates [R] of an answer (arXiv 1506.02438); nothing is worth anything after its end.

    A_t = sum_k (discount trace)^k (r_(t+k) + discount V_(t+k+1) - V_(t+k)).
    """
    later_R = torch.cat([values_R[1:], values_R.new_zeros(1)])
    errors_R = rewards_R + discount * later_R - values_R
    found, running = [], errors_R.new_zeros(())
    for error in reversed(errors_R.unbind()):
        running = error + discount * trace * running
        found.append(running)
    return torch.stack(found[::-1])


def explained_variance(values_N: torch.Tensor, returns_N: torch.Tensor) -> float:
    """1 - var(returns - values) / var(returns): 1 is a perfect value, 0 one that says nothing; 0 without variance."""
    spread = float(returns_N.var()) if len(returns_N) > 1 else 0.0
    return 1 - float((returns_N - values_N).var()) / spread if spread else 0.0
