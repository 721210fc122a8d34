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
from rba.lm.scorer import score
from rba.teachers.batches import Batches
from rba.teachers.teacher import Reply, Teacher, as_request

SCORE_TOKENS = 8192
"""Padded tokens of responses that are scored in one pass."""


class LocalTeacher(Teacher):
    """A `TextLM` as a teacher that answers under the turn `system`; `batch_size` sequences are generated at once."""

    def __init__(self, lm: TextLM, batch_size: int = 96, system: System = ""):
        self.lm, self.name, self.system = lm, lm.name, system
        self.batches = Batches(lm.tokenizer, system, batch_size)

    def told(self, system: System) -> LocalTeacher:
        """The same LLM under another turn."""
        return LocalTeacher(self.lm, self.batches.size, system)

    def sample_queries(
        self, seeds: Sequence[int], system: System, sampling: Sampling, openers: Sequence[str] | None = None
    ) -> list[Reply]:
        """One request per seed; it ends at the end of turn or where it begins another turn's header."""
        first = self.batches.first_ids(openers, len(seeds))
        header = chat.prequery_ids(self.lm.tokenizer, system)
        lm = replace(self.lm, end_ids=[*self.lm.end_ids, *self._header_ids()])
        replies = [Reply("")] * len(seeds)
        for chosen in self.batches.queries(seeds, openers):
            for i, completion in zip(
                chosen, _continue(lm, header, [first[i] for i in chosen], sampling, seeds, chosen)
            ):
                replies[i] = self._query(first[i], completion)
        return replies

    def replies(self, texts: Sequence[str], sampling: Sampling, seeds: Sequence[int]) -> list[Reply]:
        """One answer per request, through the full chat template."""
        groups = generate(self.lm, self.batches.prompts(texts), sampling, seeds, batch_size=self.batches.size)
        return [Reply(group[0].text, group[0].finished) for group in groups]

    @torch.no_grad()
    def log_likelihood(self, texts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, int]]:
        """Summed log-prob and tokens of each response followed by the end of turn, given its text in the chat frame.

        A text of several responses passes once.
        """
        prompts = self.batches.prompts(texts)
        answers = self.batches.answers(responses, chat.taught_end(self.lm.end_ids, self.name))
        scores = [(0.0, 0)] * len(texts)
        for chosen in self.batches.scores(prompts, answers):
            embeds = {text: self.lm.embed(ids) for text, ids in {texts[i]: prompts[i] for i in chosen}.items()}
            rows = score(self.lm, [embeds[texts[i]] for i in chosen], [answers[i] for i in chosen], SCORE_TOKENS)
            for i, logp_R in zip(chosen, rows):
                scores[i] = (float(logp_R.sum()), len(logp_R))
        return scores

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
