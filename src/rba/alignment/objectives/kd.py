"""Knowledge distillation: on the teacher's answer, hear what the teacher would say next when it reads (Ultravox).

    L = mean_s mean_t KL( T(. | q, y_<t) || pi(. | x^(s), y_<t) ) + w KL( the same where the answer ends )

with y the teacher's answer, q the text of the instruction, both distributions at the same temperature. The position
that has to predict the end of turn is one among dozens in the mean, and decides whether the model stops: it has a
weight of its own. An answer that was cut has no such position.
"""

from __future__ import annotations

from rba.alignment.divergence import Divergence
from rba.alignment.objectives.dense import divergence_metrics, mean_divergence
from rba.alignment.objectives.objective import Batch, Objective, Request, Task, Terms, gather, total
from rba.alignment.objectives.sft import ce_metrics, reference_requests
from rba.alignment.settings import AlignSettings


class Kd(Objective):
    """L = forward KL + the end's; needs the token teacher, no self-samples."""

    name = "kd"
    needs_teacher = needs_distributions = True

    def __init__(self, settings: AlignSettings):
        self.kind, self.end_weight = Divergence(0.0, settings.kd.temperature), settings.kd.end_weight

    def requests(self, task: Task) -> list[Request]:
        """The teacher's answer under every voice."""
        return reference_requests(task, divergence=self.kind)

    def terms(self, batch: Batch) -> Terms:
        """The divergence and, unless its weight is 0, that of the end; means over instructions."""
        losses = {"kd": total(mean_divergence(scored) for scored in batch.scored) / len(batch.tasks)}
        ended = [scored for task, scored in zip(batch.tasks, batch.scored) if task.finished]
        ends = [[s.divergence_R[-1] for s in scored if s.divergence_R is not None] for scored in ended]
        if self.end_weight:
            losses["end"] = self.end_weight * total(total(row) / len(row) for row in ends) / len(batch.tasks)
        seen = gather([{**ce_metrics(scored), **divergence_metrics(scored)} for scored in batch.scored])
        return Terms(losses, {**seen, "teacher/divergence_end": [float(end.detach()) for row in ends for end in row]})


OBJECTIVE = Kd
