"""Generalised knowledge distillation: the teacher's distributions on a mix of its answers and own ones.

    L = mean_s mean_t JSD_beta( T(. | q, y_<t), pi(. | x^(s), y_<t) ),   y own with probability lambda, else teacher's

(arXiv 2306.13649). beta 0 is the forward KL, 1 the reverse KL; lambda 0 is distillation on fixed answers, 1 is
on-policy. Which of the two an instruction trains on is drawn anew for every update. No gradient passes through the
drawing of an own answer.
"""

from __future__ import annotations

from rba.alignment.divergence import Divergence
from rba.alignment.objectives.dense import divergence_metrics, mean_divergence
from rba.alignment.objectives.objective import (
    Batch,
    Objective,
    Request,
    Task,
    Terms,
    gather,
    own_requests,
    total,
)
from rba.alignment.objectives.sft import reference_requests
from rba.alignment.settings import AlignSettings
from rba.data import seeds


class Gkd(Objective):
    """L = generalised JSD; needs the token teacher and, unless lambda is 0, self-samples."""

    name = "gkd"
    needs_teacher = needs_distributions = True

    def __init__(self, settings: AlignSettings):
        given = settings.gkd
        self.kind, self.own = Divergence(given.beta, given.temperature, given.teacher_temperature), given.own
        self.needs_samples = self.own > 0

    def requests(self, task: Task) -> list[Request]:
        """All own answers, each under its voice, or the teacher's answer under every voice."""
        if seeds.rng(task.seed, "gkd").random() < self.own:
            return own_requests(task, divergence=self.kind)
        return reference_requests(task, divergence=self.kind)

    def terms(self, batch: Batch) -> Terms:
        """The divergence, a mean over instructions."""
        loss = total(mean_divergence(scored) for scored in batch.scored) / len(batch.tasks)
        seen = gather([divergence_metrics(scored) for scored in batch.scored])
        own = [float(any(s.request.role == "own" for s in scored)) for scored in batch.scored]
        return Terms({"gkd": loss}, {**seen, "gkd/own": own})


OBJECTIVE = Gkd
