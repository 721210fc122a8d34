"""RBA-Group: of an instruction's answers, one a voice, the best is preferred to the worst (Eqs. 2-5).

    L = -log sigmoid( beta (d(y^(s+), x^(s+)) - d(y^(s-), x^(s-))) ) + lambda L_CE,   s+ = argmax r, s- = argmin r

with d the log-prob of an answer, less the reference's if there is one. The two answers hear *different* voices, each
its own: the optimum must then not depend on who speaks. Rewards choose the pair and never enter the loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rba.alignment.objectives.objective import Batch, Request, Scored, Task, Terms, by_voice, gather, total
from rba.alignment.objectives.preference import margin, observations, preference_loss
from rba.alignment.objectives.sft import anchor, ce_metrics, reference_requests
from rba.alignment.pairs import pair_across_voices
from rba.alignment.settings import AlignSettings


class RbaGroup:
    """L = L_G + lambda L_CE; needs self-samples with rewards. A group without a pair keeps its L_CE."""

    name = "rba-group"
    needs_samples, needs_rewards = True, True

    def __init__(self, settings: AlignSettings):
        self.beta, self.weight, self.reduction = settings.beta, settings.lam, settings.ce_reduction
        self.eps, self.needs_reference = settings.tie_eps, settings.use_reference

    def requests(self, task: Task) -> list[Request]:
        """The teacher's answer under every voice, and the best and the worst answer, each under its own voice."""
        wanted = reference_requests(task) if self.weight else []
        pairing = pair_across_voices(task.samples, self.eps)
        if pairing.outcome == "pair":
            for voice, role in ((pairing.chosen, "chosen"), (pairing.rejected, "rejected")):
                wanted.append(Request(voice, task.samples[voice].ids, role))  # type: ignore[arg-type]
        return wanted

    def terms(self, batch: Batch) -> Terms:
        """Preference and, unless its weight is 0, cross-entropy; means over instructions."""
        pairs = [_pair(scored) for scored in batch.scored]
        losses = {"preference": total(self._preference(pair) for pair in pairs if pair) / len(pairs)}
        if self.weight:
            losses["ce"] = self.weight * total(anchor(s, self.reduction) for s in batch.scored) / len(batch.tasks)
        seen = gather([observations(*pair, self.beta) for pair in pairs if pair])
        outcomes = [pair_across_voices(task.samples, self.eps).outcome for task in batch.tasks]
        seen["pairs/dropped"] = [float(outcome != "pair") for outcome in outcomes]
        seen["pairs/tied"] = [float(outcome == "tie") for outcome in outcomes]
        return Terms(losses, {**gather([ce_metrics(s) for s in batch.scored]), **seen})

    def _preference(self, pair: tuple[Scored, Scored]) -> torch.Tensor:
        return preference_loss(margin(*pair), self.beta)


def _pair(scored: Sequence[Scored]) -> tuple[Scored, Scored] | None:
    """The chosen and the rejected answer, where the instruction has a pair."""
    chosen, rejected = (list(by_voice(scored, role).values()) for role in ("chosen", "rejected"))
    return (chosen[0], rejected[0]) if chosen and rejected else None


OBJECTIVE = RbaGroup
