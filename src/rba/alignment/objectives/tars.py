"""TARS: GRPO whose reward also asks that speech is represented, and answered, as text is.

    r' = r + w_r mean_l cos( h_l(y | x^(s)), h_l(y | q) ) + w_b cos( e(y), e(y_ref) )
    A  = r' - mean within its modality

(arXiv 2601.05543.) h_l is layer l's mean state over the tokens of the answer, under the speech and under the typed
request, of the policy as it is; e are sentence embeddings. Answers to the typed request are trained on, too: they
have no representation term, and a mean of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from rba.alignment.objectives.advantages import group_advantages
from rba.alignment.objectives.objective import (
    TYPED,
    Batch,
    Objective,
    Request,
    Scored,
    Task,
    Terms,
    gather,
    own_requests,
    rewarded,
    rewards_of,
    sample_of,
    typed_requests,
)
from rba.alignment.objectives.surrogate import clip_metrics, clipped_surrogate, over_update, ratio, reference_kl
from rba.alignment.settings import AlignSettings


class Tars(Objective):
    """Needs self-samples with rewards (also to typed requests, unless `text` is false), and the reference if asked."""

    name = "tars"
    needs_samples = needs_rewards = needs_old = compares = True

    def __init__(self, settings: AlignSettings):
        self.settings, self.grpo, self.longest = settings.tars, settings.grpo, settings.sample.max_new_tokens
        self.needs_typed, self.needs_reference = self.settings.text, self.settings.kl > 0
        self.reward_terms = {"similarity": self.settings.behaviour} if self.settings.behaviour else {}

    def requests(self, task: Task) -> list[Request]:
        """All own answers with a reward under what they answer, and those to speech once more under the text."""
        seen = bool(self.settings.representation)
        spoken = rewarded(task, own_requests(task, layers=seen))
        typed = rewarded(task, typed_requests(task))
        read = [Request(TYPED, r.ids, "reference", layers=True, train=False) for r in spoken] if seen else []
        return spoken + typed + read

    def terms(self, batch: Batch) -> Terms:
        """Policy gradient and, if asked for, divergence from the reference, over all answers of the update."""
        policy, kl, seen, heard = [], [], [], list[tuple[float, int]]()
        clip = (self.grpo.clip_low, self.grpo.clip_high)
        for task, scored in zip(batch.tasks, batch.scored):
            own = [s for s in scored if s.request.role == "own"]
            spoken = [s for s in own if s.request.voice != TYPED]
            alignment = representation(spoken, scored)
            heard += [(cosine, len(s.request.ids)) for cosine, s in zip(alignment, spoken)]
            worth = rewards_of([sample_of(task, s.request) for s in own])
            for i, cosine in enumerate(alignment):
                worth[i] += self.settings.representation * cosine
            keys = [s.request.voice == TYPED for s in own]
            for s, advantage in zip(own, group_advantages(worth, keys, self.settings.scale)):
                log_ratio_R, weight_R = ratio(s, sample_of(task, s.request))
                policy.append(clipped_surrogate(log_ratio_R, advantage * weight_R, *clip))
                seen.append(clip_metrics(log_ratio_R, advantage, *clip))
                if s.logp_ref_R is not None:
                    kl.append(reference_kl(s.logp_R, s.logp_ref_R))
        losses = {"policy": self._reduce(policy, batch)}
        if self.settings.kl:
            losses["kl"] = self.settings.kl * self._reduce(kl, batch)
        return Terms(losses, gather(seen), {"representation": heard})

    def _reduce(self, rows: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        return over_update(rows, self.grpo.loss, batch, self.longest)


def representation(spoken: Sequence[Scored], scored: Sequence[Scored]) -> list[float]:
    """For every spoken answer, the mean over blocks of the cosine of its mean states under speech and under text.

    The first of the layers, the input embeddings, is left out: it is the same under both. Empty without text states.
    """
    read = [s for s in scored if s.request.role == "reference"]
    return [layer_cosine(heard.layers_LD, text.layers_LD) for heard, text in zip(spoken, read)]


def layer_cosine(heard_LD: torch.Tensor | None, read_LD: torch.Tensor | None) -> float:
    """The mean cosine of corresponding rows, the first left out."""
    assert heard_LD is not None and read_LD is not None
    return float(F.cosine_similarity(heard_LD[1:], read_LD[1:], dim=-1).mean())


OBJECTIVE = Tars
