"""RBA-Single: the teacher's answer is preferred to the model's own, voice by voice (Eqs. 6-8, SPIN-like).

    L_S = mean_s -log sigmoid( beta (d(y_ref, x^(s)) - d(y^(s), x^(s))) ) + lambda_s L_CE

with d the log-prob of an answer, less the reference's if there is one. Both answers of a pair hear the same voice. With
several answers a voice, the mean runs over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rba.alignment.objectives.objective import Batch, Objective, Request, Scored, Task, Terms, by_voice, gather, total
from rba.alignment.objectives.preference import margin, observations, preference_loss
from rba.alignment.objectives.sft import anchor, ce_metrics, reference_requests
from rba.alignment.pairs import pairs_with_teacher
from rba.alignment.settings import AlignSettings


def single_loss(margin_P: torch.Tensor, answers: int, beta: float) -> torch.Tensor:
    """L_S of one instruction: the preference losses of its P pairs over all its own `answers`, one a voice or more.

    An own answer that equals the teacher's has nothing to prefer: it counts as zero, not as one answer less.
    """
    return preference_loss(margin_P, beta).sum() / answers


class RbaSingle(Objective):
    """L = L_S + lambda_s L_CE; needs self-samples, no rewards."""

    name = "rba-single"
    needs_samples, needs_rewards = True, False

    def __init__(self, settings: AlignSettings):
        self.beta, self.weight, self.reduction = settings.beta, settings.single_weight, settings.ce_reduction
        self.needs_reference = settings.use_reference

    def requests(self, task: Task) -> list[Request]:
        """The teacher's answer under every voice, and each voice's own answers where they differ."""
        drawn = [(i, task.samples[i]) for i in pairs_with_teacher(task)]
        own = [Request(task.voice(sample), sample.ids, "rejected", i) for i, sample in drawn]
        return reference_requests(task) + own

    def terms(self, batch: Batch) -> Terms:
        """Preference and, unless its weight is 0, cross-entropy; means over instructions."""
        pairs = [_pairs(scored) for scored in batch.scored]
        losses = {"preference": total(self._preference(p, t) for p, t in zip(pairs, batch.tasks)) / len(pairs)}
        if self.weight:
            losses["ce"] = self.weight * total(anchor(s, self.reduction) for s in batch.scored) / len(batch.tasks)
        seen = gather([observations(good, bad, self.beta) for group in pairs for good, bad in group])
        seen["pairs/dropped"] = [1 - len(p) / _answers(t) for p, t in zip(pairs, batch.tasks)]
        return Terms(losses, {**gather([ce_metrics(s) for s in batch.scored]), **seen})

    def _preference(self, pairs: list[tuple[Scored, Scored]], task: Task) -> torch.Tensor:
        if not pairs:
            return torch.zeros(())
        return single_loss(torch.stack([margin(good, bad) for good, bad in pairs]), _answers(task), self.beta)


def _answers(task: Task) -> int:
    """Own answers of an instruction, at least one a voice."""
    return max(len(task.samples), len(task.utterances))


def _pairs(scored: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    """(teacher's answer, own answer) for every own answer, under its voice."""
    teacher = by_voice(scored, "reference")
    return [(teacher[own.request.voice], own) for own in scored if own.request.role == "rejected"]


OBJECTIVE = RbaSingle
