"""How far the policy has moved: the divergence from its reference on held-out answers the reference drew itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from rba.alignment.bank import PromptBank
from rba.alignment.groups import Group
from rba.alignment.settings import AlignSettings
from rba.data import seeds
from rba.lm.generation import generate
from rba.lm.scorer import precision, score
from rba.models.adapters import reference
from rba.models.speechlm import SpeechLM


def k3(logp_N: torch.Tensor, logp_ref_N: torch.Tensor) -> torch.Tensor:
    """Elementwise estimate of KL(ref || policy) from tokens that the reference drew: (r - 1) - log r, r = policy / ref.

    Never negative, zero where both agree, unbiased, and less noisy than log-ratios (Schulman 2020, "k3").
    """
    log_ratio_N = logp_N - logp_ref_N
    return log_ratio_N.expm1() - log_ratio_N


class DriftProbe:
    """Measures KL(reference || policy) a token on a fixed set of answers, the same for all methods of a run.

    The answers are drawn once from the initial model, one to an instruction; no reference forward is needed later.
    """

    def __init__(
        self, speechlm: SpeechLM, bank: PromptBank, groups: Sequence[Group], settings: AlignSettings, seed: int
    ):
        self.speechlm, self.bank, self.settings = speechlm, bank, settings
        self.utterances = [group.utterances[0] for group in groups]
        prompts = bank.initial(self.utterances)
        marks = [seeds.derive(seed, "drift", utterance) for utterance in self.utterances]
        with reference(speechlm):
            # from the model's own distribution: cooler answers would leave its tail, and what moves there, out
            plain = replace(settings.sample, temperature=1.0, top_p=1.0)
            drawn = generate(speechlm.lm, prompts, plain, marks, batch_size=settings.rollout_batch)
            self.answers = [completions[0].ids for completions in drawn]
            with precision(speechlm.lm, settings.dtype):
                self.logp_ref_N = torch.cat(score(speechlm.lm, prompts, self.answers, settings.batch_tokens))

    @torch.no_grad()
    def measure(self) -> float:
        """Nats a token, as the policy is now."""
        with precision(self.speechlm.lm, self.settings.dtype):
            rows = score(self.speechlm.lm, self.bank.current(self.utterances), self.answers, self.settings.batch_tokens)
        return float(k3(torch.cat(rows), self.logp_ref_N).mean())
