"""Validation on held-out instructions: what the model answers and how likely it finds the teacher's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rba.alignment.bank import PromptBank
from rba.alignment.groups import Group, columns
from rba.alignment.metrics import mean
from rba.alignment.rollout import Reward
from rba.alignment.settings import AlignSettings
from rba.lm.generation import generate
from rba.lm.sampling import Sampling
from rba.lm.scorer import precision, score
from rba.models.speechlm import SpeechLM
from rba.rewards.deaf import did_not_hear


class Validator:
    """Scores the policy on one utterance of each validation instruction; the voices take turns."""

    def __init__(
        self,
        speechlm: SpeechLM,
        bank: PromptBank,
        groups: Sequence[Group],
        settings: AlignSettings,
        reward: Reward | None,
    ):
        self.speechlm, self.bank, self.groups, self.settings, self.reward = speechlm, bank, groups, settings, reward
        self.utterances = [g.utterances[i % len(g.utterances)] for i, g in enumerate(groups)]

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """`validation/logp` (nats a token of the teacher's answer) and, by reward, `reward`, `length` and `deaf`.

        `validation/score`, the higher the better, is the one that picks the checkpoint.
        """
        prompts = self.bank.current(self.utterances)
        with precision(self.speechlm.lm, self.settings.dtype):
            wanted = [group.reference for group in self.groups]
            rows = score(self.speechlm.lm, prompts, wanted, self.settings.batch_tokens)
        found = {"logp": mean([float(row.mean()) for row in rows])}
        found["score"] = found["logp"]
        if self.reward is not None:
            found |= self._answers(prompts, self.reward)
        return {f"validation/{name}": value for name, value in found.items()}

    def _answers(self, prompts: list[torch.Tensor], reward: Reward) -> dict[str, float]:
        """What greedy answers are worth."""
        greedy = Sampling(0.0, 1.0, self.settings.sample.max_new_tokens)
        size = self.settings.rollout_batch
        answers = [c[0] for c in generate(self.speechlm.lm, prompts, greedy, [0] * len(prompts), batch_size=size)]
        texts = [answer.text for answer in answers]
        values = reward(
            [group.text for group in self.groups],
            texts,
            [answer.ids for answer in answers],
            **columns(list(zip(self.groups, self.utterances))),
        )
        value = mean([v for v in values if v is not None])
        deaf = mean([float(did_not_hear(text)) for text in texts])
        return {"reward": value, "score": value, "length": mean([len(a.ids) for a in answers]), "deaf": deaf}


@dataclass
class Best:
    """The best validation so far, and how many have passed since."""

    score: float | None = None
    step: int = 0
    since: int = 0

    def update(self, score: float, step: int) -> bool:
        """Take a validation; whether it is the best. A score that is no number never is."""
        if score == score and (self.score is None or score > self.score):
            self.score, self.step, self.since = score, step, 0
            return True
        self.since += 1
        return False
