"""The clipped policy-gradient loss that GRPO, RLOO, PPO and the sampled form of distillation share: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch

from rba.alignment.drift import k3
from rba.alignment.objectives.objective import Batch, Sample, Scored, total

Loss = Literal["dapo", "grpo", "dr_grpo"]

MOST_CORRECTED = 2.0
"""The largest weight of what an engine draws too seldom; a rare token's may be a hundred."""
LARGEST = 80.0
"""Of log-ratios whose exp is taken: float32 ends at 88, and an advantage is multiplied yet."""


def clipped_surrogate(
    log_ratio_R: torch.Tensor, advantage: torch.Tensor | float, low: float, high: float
) -> torch.Tensor:
    """-min(rho A, clip(rho, 1 - low, 1 + high) A), elementwise, rho = exp(log_ratio) (PPO, arXiv 1707.06347).

    A log-ratio above `LARGEST`, as whole answers may have, counts as that, without a gradient.
    """
    # an infinite ratio would have no number for a gradient, also where the clip cuts it off
    ratio_R = log_ratio_R.clamp(max=LARGEST).exp()
    return -torch.minimum(ratio_R * advantage, ratio_R.clamp(1 - low, 1 + high) * advantage)


def ratio(scored: Scored, sample: Sample, whole: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """log pi / pi_old of each token, or of the `whole` answer, and the weight of its advantage.

    pi_old is the policy that drew the answer; where it is the same, log-probs of now without a gradient. Both sides are
    scored. What the answer was drawn with is rounded otherwise: in bfloat16 the sum over an answer would lie some
    tenths of a nat away, which a clip takes for a step of the policy. It goes into the weight: pi_old over the
    probability it was drawn with, at most `MOST_CORRECTED`, 1 where nothing is known of the drawing. With these weights
    an expectation over what one engine draws is one under another's probabilities; no clip asks for them.
    """
    old_R = scored.logp_R.new_tensor(sample.old) if sample.old else scored.logp_R.detach()
    apart_R = old_R - (old_R.new_tensor(sample.logp) if sample.logp else old_R)
    log_ratio = scored.lp - old_R.sum() if whole else scored.logp_R - old_R
    return log_ratio, (apart_R.sum() if whole else apart_R).clamp(max=math.log(MOST_CORRECTED)).exp()


def reference_kl(logp_R: torch.Tensor, logp_ref_R: torch.Tensor) -> torch.Tensor:
    """Elementwise estimate of KL(policy || reference) from tokens that the policy drew ("k3")."""
    return k3(logp_ref_R, logp_R)


def reduce(rows: Sequence[torch.Tensor], kind: Loss, answers: int, tokens: int, longest: int) -> torch.Tensor:
    """Token losses [R_i] of a part of an update as a scalar; `answers` and `tokens` count the whole update.

    "grpo": mean over answers of the mean over tokens. "dapo": mean over all tokens (arXiv 2503.14476). "dr_grpo": sum
    over tokens divided by answers times the `longest` length an answer may have, so that length has no weight.
    """
    if kind == "grpo":
        return total(row.mean() for row in rows) / max(1, answers)
    return total(row.sum() for row in rows) / max(1, tokens if kind == "dapo" else answers * longest)


def over_update(rows: Sequence[torch.Tensor], kind: Loss, batch: Batch, longest: int) -> torch.Tensor:
    """`reduce` over all rewarded answers, spoken to or typed, of the update of which `batch` is a part: its share."""
    lengths = [len(s.ids) for task in batch.whole for s in (*task.samples, *task.typed) if s.reward is not None]
    return reduce(rows, kind, len(lengths), sum(lengths), longest) / batch.part


def clip_metrics(
    log_ratio_R: torch.Tensor, advantage: torch.Tensor | float, low: float, high: float
) -> dict[str, list[float]]:
    """Shares of tokens whose gradient the clip cut off, under TRL's names."""
    ratio_R = log_ratio_R.detach().exp()
    sign_R = torch.as_tensor(advantage, dtype=ratio_R.dtype, device=ratio_R.device)
    below = ((ratio_R < 1 - low) & (sign_R < 0)).float().mean()
    above = ((ratio_R > 1 + high) & (sign_R > 0)).float().mean()
    return {
        "clip_ratio/low_mean": [float(below)],
        "clip_ratio/high_mean": [float(above)],
        "clip_ratio/region_mean": [float(below + above)],
    }
