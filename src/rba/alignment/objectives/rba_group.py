"""RBA-Group: of an instruction's answers, one a voice or more, the best is preferred to the worst (Eqs. 2-5).

    L = -log sigmoid( beta (d(y^(s+), x^(s+)) - d(y^(s-), x^(s-))) ) + lambda L_CE,   s+ = argmax r, s- = argmin r

with d the log-prob of an answer, less the reference's if there is one. The two answers hear *different* voices, each
its own: the optimum must then not depend on who speaks. Rewards choose the pair and never enter the loss. With
`pairing: all` the mean over all pairs whose rewards differ takes the place of the one pair: nothing is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rba.alignment.objectives.objective import Batch, Objective, Request, Scored, Task, Terms, gather, total
from rba.alignment.objectives.preference import margin, observations, preference_loss
from rba.alignment.objectives.sft import anchor, ce_metrics, reference_requests
from rba.alignment.pairs import all_pairs, pair_across_voices
from rba.alignment.settings import AlignSettings

Pair = tuple[Scored, Scored]


class RbaGroup(Objective):
    """L = L_G + lambda L_CE; needs self-samples with rewards. A group without a pair keeps its L_CE."""

    name = "rba-group"
    needs_samples = needs_rewards = compares = True

    def __init__(self, settings: AlignSettings):
        self.beta, self.weight, self.reduction = settings.beta, settings.lam, settings.ce_reduction
        self.eps, self.pairing, self.needs_reference = settings.tie_eps, settings.pairing, settings.use_reference

    def requests(self, task: Task) -> list[Request]:
        """The teacher's answer under every voice, and the answers that make pairs, each under its own voice."""
        wanted = reference_requests(task) if self.weight else []
        if self.pairing == "all":
            used = sorted({i for pair in all_pairs(task.samples, self.eps) for i in pair})
            return wanted + [Request(task.voice(task.samples[i]), task.samples[i].ids, "own", i) for i in used]
        pairing = pair_across_voices(task.samples, self.eps)
        if pairing.outcome == "pair":
            for number, role in ((pairing.chosen, "chosen"), (pairing.rejected, "rejected")):
                sample = task.samples[number]
                wanted.append(Request(task.voice(sample), sample.ids, role, number))  # type: ignore[arg-type]
        return wanted

    def terms(self, batch: Batch) -> Terms:
        """Preference and, unless its weight is 0, cross-entropy; means over instructions."""
        pairs = [find_pairs(task, scored, self.eps) for task, scored in zip(batch.tasks, batch.scored)]
        losses = {"preference": total(self._preference(group) for group in pairs) / len(pairs)}
        if self.weight:
            losses["ce"] = self.weight * total(anchor(s, self.reduction) for s in batch.scored) / len(batch.tasks)
        seen = gather([observations(*pair, self.beta) for group in pairs for pair in group])
        outcomes = [pair_across_voices(task.samples, self.eps).outcome for task in batch.tasks]
        seen["pairs/dropped"] = [float(not group) for group in pairs]
        seen["pairs/tied"] = [float(outcome == "tie") for outcome in outcomes]
        return Terms(losses, {**gather([ce_metrics(s) for s in batch.scored]), **seen})

    def _preference(self, pairs: Sequence[Pair]) -> torch.Tensor:
        return total(preference_loss(margin(*pair), self.beta) for pair in pairs) / max(1, len(pairs))


def find_pairs(task: Task, scored: Sequence[Scored], eps: float) -> list[Pair]:
    """The (chosen, rejected) answers of an instruction among what was scored for it."""
    own = {s.request.sample: s for s in scored if s.request.role == "own"}
    if own:
        return [(own[i], own[j]) for i, j in all_pairs(task.samples, eps) if i in own and j in own]
    chosen, rejected = ([s for s in scored if s.request.role == role] for role in ("chosen", "rejected"))
    return list(zip(chosen, rejected))


OBJECTIVE = RbaGroup
