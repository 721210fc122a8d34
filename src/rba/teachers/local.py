"""A teacher in this process: a causal LM of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from rba.lm import chat
from rba.lm.generation import Completion, generate
from rba.lm.load import TextLM
from rba.lm.preamble import System
from rba.lm.sampling import Sampling
from rba.lm.scoring import token_logprobs
from rba.teachers.teacher import Reply, Teacher, as_request

SCORE_BATCH = 32


class LocalTeacher(Teacher):
    """A `TextLM` as a teacher that answers under the turn `system`; `batch_size` sequences are generated at once."""

    def __init__(self, lm: TextLM, batch_size: int = 96, system: System = ""):
        self.lm, self.name, self.batch_size, self.system = lm, lm.name, batch_size, system

    def sample_queries(
        self, seeds: Sequence[int], system: System, sampling: Sampling, openers: Sequence[str] | None = None
    ) -> list[Reply]:
        """One request per seed; it ends at the end of turn or where it begins another turn's header."""
        first = [self._ids(opener) for opener in openers or [""] * len(seeds)]
        header = chat.prequery_ids(self.lm.tokenizer, system)
        lm = replace(self.lm, end_ids=[*self.lm.end_ids, *self._header_ids()])
        order = sorted(range(len(seeds)), key=lambda i: (first[i], seeds[i]))
        replies = [Reply("")] * len(seeds)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            for i, completion in zip(
                chosen, _continue(lm, header, [first[i] for i in chosen], sampling, seeds, chosen)
            ):
                replies[i] = self._query(first[i], completion)
        return replies

    def replies(self, texts: Sequence[str], sampling: Sampling, seeds: Sequence[int]) -> list[Reply]:
        """One answer per request, through the full chat template."""
        prompts = self._prompts(texts)
        groups = generate(self.lm, prompts, sampling, seeds, batch_size=self.batch_size)
        return [Reply(group[0].text, group[0].finished) for group in groups]

    @torch.no_grad()
    def log_likelihood(self, texts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, int]]:
        """Summed log-prob and tokens of each response followed by the end of turn, given its text in the chat frame."""
        prompts = self._prompts(texts)
        answers = [chat.response_ids(self.lm.tokenizer, text, self.lm.end_ids[0]) for text in responses]
        order = sorted(range(len(texts)), key=lambda i: len(prompts[i]) + len(answers[i]))
        scores = [(0.0, 0)] * len(order)
        for start in range(0, len(order), SCORE_BATCH):
            chosen = order[start : start + SCORE_BATCH]
            embeds = [self.lm.embed(prompts[i]) for i in chosen]
            for i, logp_R in zip(chosen, token_logprobs(self.lm.model, embeds, [answers[i] for i in chosen])):
                scores[i] = (float(logp_R.sum()), len(logp_R))
        return scores

    def _prompts(self, texts: Sequence[str]) -> list[list[int]]:
        return [chat.prompt_ids(self.lm.tokenizer, text, self.system) for text in texts]

    def _ids(self, text: str) -> list[int]:
        return self.lm.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    def _header_ids(self) -> list[int]:
        """Special tokens of the chat frame: in a request any of them opens the next turn."""
        frame = {i for piece in chat.frame(self.lm.tokenizer) for i in piece}
        return sorted(frame & set(self.lm.tokenizer.all_special_ids) - set(self.lm.end_ids))

    def _query(self, first: list[int], completion: Completion) -> Reply:
        written = completion.ids[:-1] if completion.finished else completion.ids
        text = self.lm.tokenizer.decode(first + written, skip_special_tokens=True)
        return as_request(text, completion.finished)


def _continue(
    lm: TextLM, header: list[int], first: list[list[int]], sampling: Sampling, seeds: Sequence[int], chosen: list[int]
) -> list[Completion]:
    """Continuations of one batch; without first words the header is prefilled once for all."""
    mine = [seeds[i] for i in chosen]
    if not any(first):
        return generate(lm, [header], sampling, mine, len(mine), len(mine))[0]
    return [group[0] for group in generate(lm, [header + ids for ids in first], sampling, mine, batch_size=len(mine))]
