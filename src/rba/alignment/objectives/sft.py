"""Supervised fine-tuning on the teacher's answers: Eq. 1, the baseline that counts, and the anchor of the other two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rba.alignment.objectives.objective import Batch, Objective, Request, Scored, Task, Terms, by_voice, gather, total
from rba.alignment.settings import AlignSettings


def cross_entropy(logp_K: torch.Tensor, tokens: int, reduction: str) -> torch.Tensor:
    """L_CE of one instruction, a scalar: minus the mean over its K voices of the answer's summed log-prob (Eq. 1).

    `logp_K` holds log pi(y_ref | x^(s)); with `reduction` "mean" it is divided by the answer's `tokens`.
    """
    loss = -logp_K.mean()
    return loss / tokens if reduction == "mean" else loss


def reference_requests(task: Task, **wanted: Any) -> list[Request]:
    """The teacher's answer under every voice."""
    return [Request(voice, task.reference, "reference", **wanted) for voice in range(len(task.utterances))]


def anchor(scored: Sequence[Scored], reduction: str) -> torch.Tensor:
    """L_CE of one instruction from what was scored for it."""
    rows = list(by_voice(scored, "reference").values())
    return cross_entropy(torch.stack([row.lp for row in rows]), len(rows[0].request.ids), reduction)


def ce_metrics(scored: Sequence[Scored]) -> dict[str, list[float]]:
    """Nats a token of the teacher's answer (`ce`, whatever the reduction), and its length in tokens."""
    rows = by_voice(scored, "reference").values()
    return {
        "ce": [-float(row.logp_R.detach().mean()) for row in rows],
        "length/reference": [float(len(row.request.ids)) for row in rows],
    }


class Sft(Objective):
    """L = L_CE: every voice of an instruction is answered as the teacher answers its text."""

    name = "sft"

    def __init__(self, settings: AlignSettings):
        self.reduction = settings.ce_reduction

    def requests(self, task: Task) -> list[Request]:
        """The teacher's answer under every voice."""
        return reference_requests(task)

    def terms(self, batch: Batch) -> Terms:
        """The cross-entropy, a mean over instructions."""
        loss = total(anchor(scored, self.reduction) for scored in batch.scored) / len(batch.tasks)
        return Terms({"ce": loss}, gather([ce_metrics(scored) for scored in batch.scored]))


OBJECTIVE = Sft
