"""On-policy distillation: on its own answers to speech, the model learns what it would say next if it read.

    L = (1 - lambda) L_speech + lambda L_text
    L_speech = mean_y mean_t KL( pi(. | x^(s), y_<t) || T(. | q, y_<t) ),   y drawn by pi(. | x^(s))
    L_text   = mean_y mean_t KL( pi(. | q, y_<t) || T(. | q, y_<t) ),       y drawn by pi(. | q)

(X-OPD, arXiv 2603.24596: the cross-modal and the text term; the text term keeps typed requests answered as before.)
The "full" form takes the divergence over the vocabulary. The "sampled" form is X-OPD's own: the advantage of a drawn
token is log T - log pi, in a clipped policy gradient; the same in expectation, with the variance of one draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rba.alignment.divergence import Divergence
from rba.alignment.objectives.dense import divergence_metrics, mean_divergence
from rba.alignment.objectives.objective import (
    TYPED,
    Batch,
    Objective,
    Request,
    Sample,
    Scored,
    Task,
    Terms,
    gather,
    own_requests,
    sample_of,
    total,
    typed_requests,
)
from rba.alignment.objectives.surrogate import clipped_surrogate, ratio
from rba.alignment.settings import AlignSettings


class Opd(Objective):
    """Needs self-samples and the token teacher, no rewards; answers to typed requests unless lambda is 0."""

    name = "opd"
    needs_samples = needs_teacher = True

    def __init__(self, settings: AlignSettings):
        self.share, self.clip, self.sampled = (
            settings.opd.text_weight,
            settings.opd.clip,
            settings.opd.form == "sampled",
        )
        self.needs_typed = self.share > 0
        self.needs_old, self.needs_distributions = self.sampled, not self.sampled
        # typed requests are to be answered as before: from a sharper teacher they would not be
        self.spoken, self.typed = Divergence(1.0, teacher_temperature=settings.opd.teacher_temperature), Divergence(1.0)

    def requests(self, task: Task) -> list[Request]:
        """All own answers under what they answer."""
        own = own_requests(task, **self._wanted(self.spoken))
        return own + (typed_requests(task, **self._wanted(self.typed)) if self.share else [])

    def _wanted(self, kind: Divergence) -> dict[str, Any]:
        return {"teacher": True} if self.sampled else {"divergence": kind}

    def terms(self, batch: Batch) -> Terms:
        """The two terms; means over instructions."""
        losses: dict[str, torch.Tensor] = {}
        seen: dict[str, list[float]] = {}
        for name, typed, weight in (("speech", False, 1 - self.share), ("text", True, self.share)):
            if not weight:
                continue
            rows = [[s for s in scored if (s.request.voice == TYPED) == typed] for scored in batch.scored]
            values = [self._loss(task, scored) for task, scored in zip(batch.tasks, rows)]
            losses[name] = weight * total(values) / len(batch.tasks)
            seen |= gather([self._metrics(scored, f"teacher/divergence_{name}") for scored in rows])
        return Terms(losses, seen)

    def _loss(self, task: Task, scored: Sequence[Scored]) -> torch.Tensor:
        if not self.sampled:
            return mean_divergence(scored)
        rows = [sampled_loss(s, sample_of(task, s.request), self.clip) for s in scored]
        return total(rows) / max(1, len(rows))

    def _metrics(self, scored: Sequence[Scored], name: str) -> dict[str, list[float]]:
        if not self.sampled:
            return divergence_metrics(scored, name)
        return {name: [-float(_advantage(s).mean()) for s in scored]}


def _advantage(scored: Scored) -> torch.Tensor:
    """log T - log pi of every token, without a gradient; its mean estimates minus the divergence."""
    assert scored.logp_teacher_R is not None
    return scored.logp_teacher_R - scored.logp_R.detach()


def sampled_loss(scored: Scored, sample: Sample, clip: float) -> torch.Tensor:
    """The clipped policy gradient of an answer with the advantage log T - log pi at each token; mean over tokens."""
    log_ratio_R, weight_R = ratio(scored, sample)
    return clipped_surrogate(log_ratio_R, _advantage(scored) * weight_R, clip, clip).mean()


OBJECTIVE = Opd
