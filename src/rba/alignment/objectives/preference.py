"""The preference loss that RBA-Single and RBA-Group share: pure functions on tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from rba.alignment.objectives.objective import Scored


def preference_loss(margin: torch.Tensor, beta: float) -> torch.Tensor:
    """-log sigmoid(beta * margin), elementwise, stable at any margin (Eqs. 4 and 8; Bradley-Terry).

    ln 2 at margin 0; its derivative is -beta * sigmoid(-beta * margin).
    """
    return -F.logsigmoid(beta * margin)


def delta(lp: torch.Tensor, lp_ref: torch.Tensor | None) -> torch.Tensor:
    """log V: the log-ratio to the reference (Eqs. 2-3, 6-7), or the plain log-prob in the reference-free form."""
    return lp if lp_ref is None else lp - lp_ref


def margin(chosen: Scored, rejected: Scored) -> torch.Tensor:
    """log V+ - log V-, a scalar; each side is taken under its own speech."""
    return delta(chosen.lp, chosen.lp_ref) - delta(rejected.lp, rejected.lp_ref)


def observations(chosen: Scored, rejected: Scored, beta: float) -> dict[str, list[float]]:
    """A pair's figures for the log, under TRL's metric names; lengths are in tokens.

    `pairs/live` is sigmoid(-beta * margin), the share of its full gradient that a pair still gives. Near 0 on average,
    the preference teaches nothing: self-samples drawn hotter than the teacher's answers begin there.
    """
    gap = beta * float(margin(chosen, rejected).detach())
    return {
        "rewards/margins": [gap],
        "rewards/accuracies": [float(gap > 0)],
        "pairs/live": [float(torch.sigmoid(torch.tensor(-gap)))],
        "logps/chosen": [float(chosen.lp.detach())],
        "logps/rejected": [float(rejected.lp.detach())],
        "length/chosen": [float(len(chosen.request.ids))],
        "length/rejected": [float(len(rejected.request.ids))],
    }
