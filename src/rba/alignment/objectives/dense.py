"""What the objectives with a divergence from the teacher at every token share."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rba.alignment.objectives.objective import Scored, total


def mean_divergence(scored: Sequence[Scored]) -> torch.Tensor:
    """The mean over answers of the mean over their tokens, nats; 0 without answers."""
    return total(s.divergence_R.mean() for s in scored if s.divergence_R is not None) / max(1, len(scored))


def summed_divergence(scored: Sequence[Scored]) -> torch.Tensor:
    """The mean over answers of the sum over their tokens, nats; 0 without answers."""
    return total(s.divergence_R.sum() for s in scored if s.divergence_R is not None) / max(1, len(scored))


def divergence_metrics(scored: Sequence[Scored], name: str = "teacher/divergence") -> dict[str, list[float]]:
    """Nats a token from the teacher, an observation an answer."""
    return {name: [float(s.divergence_R.detach().mean()) for s in scored if s.divergence_R is not None]}
