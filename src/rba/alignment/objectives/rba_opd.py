"""RBA-OPD: answers compared across voices against the teacher that reads, and its dense signal on every one of them.

Ask for the answers that earn most while staying near the teacher T, which reads the request q and hears no voice:

    max_pi  mean_s E_(y ~ pi(. | x^(s))) [ r(y) - beta log( pi(y | x^(s)) / T(y | q) ) ]

Its optimum is pi*(y | x^(s)) = T(y | q) exp(r(y) / beta) / Z(q): the same for every voice, because nothing in it hears.
So r(y) = beta log( pi*(y | x^(s)) / T(y | q) ) + beta log Z(q), and Z(q) cancels between answers to *different* voices.
(The reference of RBA-Group hears: its Z would be each voice's own, and would stay.) A Bradley-Terry preference for the
better answer then gives the first term; the second is the divergence in the objective itself, on the policy's own
answers, with the sum over the vocabulary done exactly at every token:

    L = w_p L_pref + w_d L_dense + w_c L_CE
    L_pref  = -log sigmoid( beta (d(y+, x+) - d(y-, x-)) ),   d(y, x) = log pi(y | x) - log T(y | q)
    L_dense = mean_y sum_t KL( pi(. | x^(s), y_<t) || T'(. | q, y_<t) ),   T' ~ T^(1 / teacher_temperature)

The preference says which answer is better, once an answer; the divergence says what to change, at every token. Any
weight may be 0: w_p alone is RBA-Group with a reading reference, w_d alone is on-policy distillation. A temperature
below 1 brings T nearer to its choice: -E[log T] weighs more in the divergence, and the policy's entropy as before. The
divergence may be another of GKD's (`dense_beta`): the optimum, pi = T', is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from rba.alignment.divergence import Divergence
from rba.alignment.objectives.dense import divergence_metrics, summed_divergence
from rba.alignment.objectives.objective import (
    Batch,
    Objective,
    Request,
    Scored,
    Task,
    Terms,
    gather,
    own_requests,
    total,
)
from rba.alignment.objectives.preference import margin, observations, preference_loss
from rba.alignment.objectives.rba_group import Pair
from rba.alignment.objectives.sft import anchor, ce_metrics, reference_requests
from rba.alignment.pairs import all_pairs, pair_across_voices
from rba.alignment.settings import AlignSettings


class RbaOpd(Objective):
    """Needs self-samples and the token teacher, and rewards unless the preference's weight is 0."""

    name = "rba-opd"

    def __init__(self, settings: AlignSettings):
        self.weights, self.beta, self.eps = settings.rba_opd, settings.beta, settings.tie_eps
        self.pairing, self.reduction = settings.pairing, settings.ce_reduction
        self.needs_rewards = self.compares = self.weights.preference > 0
        self.needs_samples = self.needs_teacher = self.weights.preference > 0 or self.weights.dense > 0
        self.needs_distributions = self.weights.dense > 0
        self.kind = Divergence(self.weights.dense_beta, teacher_temperature=self.weights.teacher_temperature)

    def requests(self, task: Task) -> list[Request]:
        """All own answers, each under its voice, and the teacher's answer under every voice if it has a weight."""
        wanted = reference_requests(task) if self.weights.ce else []
        dense = self.kind if self.weights.dense else None
        paired = {i for pair in self._numbers(task) for i in pair}
        own = own_requests(task, divergence=dense)
        return wanted + [replace(r, teacher=r.sample in paired) for r in own if dense or r.sample in paired]

    def terms(self, batch: Batch) -> Terms:
        """The weighted terms; means over instructions."""
        losses, seen = {}, []
        count = len(batch.tasks)
        own = [[s for s in scored if s.request.role == "own"] for scored in batch.scored]
        if self.weights.preference:
            pairs = [self._pairs(task, rows) for task, rows in zip(batch.tasks, own)]
            losses["preference"] = self.weights.preference * total(self._preference(group) for group in pairs) / count
            seen += [observations(*pair, self.beta) for group in pairs for pair in group]
            seen += [{"pairs/dropped": [float(not group)]} for group in pairs]
        if self.weights.dense:
            losses["dense"] = self.weights.dense * total(summed_divergence(rows) for rows in own) / count
            seen += [divergence_metrics(rows) for rows in own]
        if self.weights.ce:
            losses["ce"] = self.weights.ce * total(anchor(s, self.reduction) for s in batch.scored) / count
            seen += [ce_metrics(scored) for scored in batch.scored]
        return Terms(losses, gather(seen))

    def _numbers(self, task: Task) -> list[tuple[int, int]]:
        if not self.weights.preference:
            return []
        if self.pairing == "all":
            return all_pairs(task.samples, self.eps)
        pairing = pair_across_voices(task.samples, self.eps)
        return [(pairing.chosen, pairing.rejected)] if pairing.outcome == "pair" else []

    def _pairs(self, task: Task, own: Sequence[Scored]) -> list[Pair]:
        """(chosen, rejected), with the reading teacher as their reference."""
        by_number = {s.request.sample: replace(s, logp_ref_R=s.logp_teacher_R) for s in own}
        return [(by_number[i], by_number[j]) for i, j in self._numbers(task)]

    def _preference(self, pairs: Sequence[Pair]) -> torch.Tensor:
        return total(preference_loss(margin(*pair), self.beta) for pair in pairs) / max(1, len(pairs))


OBJECTIVE = RbaOpd
