"""Measures what objectives ask for: policy, reference and teacher on the same answers, in few forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from rba.alignment.bank import PromptBank
from rba.alignment.divergence import divergences
from rba.alignment.likelihood import chosen_logprobs
from rba.alignment.objectives.objective import TYPED, Objective, Request, Scored, Task
from rba.alignment.scorer import States, answer_states, precision
from rba.alignment.settings import AlignSettings
from rba.alignment.token_teacher import TokenTeacher
from rba.models.adapters import reference
from rba.models.speechlm import SpeechLM

Ask = tuple[Task, Request]


class Engine:
    """Scores requests under the policy and, as the objective needs, under its reference and under the teacher."""

    def __init__(self, speechlm: SpeechLM, bank: PromptBank, settings: AlignSettings, teacher: TokenTeacher):
        self.speechlm, self.bank, self.settings, self.teacher = speechlm, bank, settings, teacher

    def cost(self, task: Task, requests: Sequence[Request]) -> int:
        """Tokens that pass the policy: a prompt once, and all answers."""
        voices = {request.voice for request in requests}
        spoken = sum(self.bank.length(task.utterances[voice]) for voice in voices if voice != TYPED)
        typed = len(self.speechlm.text_prompts([task.text])[0]) if TYPED in voices else 0
        return spoken + typed + sum(len(request.ids) for request in requests)

    def score(
        self, objective: Objective, tasks: Sequence[Task], wanted: Sequence[Sequence[Request]]
    ) -> list[list[Scored]]:
        """What `objective` wants measured for each of the tasks."""
        flat = [(task, request) for task, requests in zip(tasks, wanted) for request in requests]
        found: list[Any] = [None] * len(flat)
        for train in (True, False):
            chosen = [i for i, (_, request) in enumerate(flat) if request.train == train]
            with nullcontext() if train else torch.no_grad():
                for i, scored in zip(chosen, self._score([flat[i] for i in chosen], objective.needs_reference)):
                    found[i] = scored
        rows = iter(found)
        return [[next(rows) for _ in requests] for requests in wanted]

    def _score(self, asked: Sequence[Ask], with_reference: bool) -> list[Scored]:
        if not asked:
            return []
        logp_ref: list[torch.Tensor | None] = [None] * len(asked)
        if with_reference:
            with reference(self.speechlm):
                logp_ref = list(self._logprobs(asked, self._states(asked, self.bank.initial)))
        states = self._states(asked, self.bank.current)
        logp = self._logprobs(asked, states)
        scored = [
            Scored(r, policy, ref, states_RD=s.last_RD if r.states else None, layers_LD=s.layers_LD)
            for (_, r), policy, ref, s in zip(asked, logp, logp_ref, states)
        ]
        return self._taught(asked, states, scored)

    def _states(self, asked: Sequence[Ask], spoken: Callable[[Sequence[str]], list[torch.Tensor]]) -> list[States]:
        """The policy's states; the same prompt is one tensor, so that it passes once."""
        utterances = list(dict.fromkeys(t.utterances[r.voice] for t, r in asked if r.voice != TYPED))
        texts = list(dict.fromkeys(t.text for t, r in asked if r.voice == TYPED))
        heard = dict(zip(utterances, spoken(utterances))) if utterances else {}
        read = dict(zip(texts, self.speechlm.text_prompts(texts))) if texts else {}
        prompts = [read[t.text] if r.voice == TYPED else heard[t.utterances[r.voice]] for t, r in asked]
        layers = any(request.layers for _, request in asked)
        with self._precision():
            answers = [request.ids for _, request in asked]
            return answer_states(self.speechlm.lm, prompts, answers, self.settings.batch_tokens, layers)

    def _logprobs(self, asked: Sequence[Ask], states: Sequence[States]) -> Sequence[torch.Tensor]:
        labels = [request.ids for _, request in asked]
        with self._precision():
            return _split(labels, partial(chosen_logprobs, self._head), [s.last_RD for s in states])

    def _taught(self, asked: Sequence[Ask], states: Sequence[States], scored: list[Scored]) -> list[Scored]:
        """The same with what the teacher says; it reads an answer once, however many voices it stands under."""
        keys = {i: (t.text, r.ids) for i, (t, r) in enumerate(asked) if r.teacher or r.divergence}
        different = list(dict.fromkeys(keys.values()))
        read = dict(zip(different, self.teacher.states([t for t, _ in different], [ids for _, ids in different])))
        logp: dict[Any, torch.Tensor] = {}
        said = list(dict.fromkeys(keys[i] for i, (_, r) in enumerate(asked) if r.teacher))
        if said:
            head = partial(chosen_logprobs, self.teacher.head)
            with torch.no_grad():
                logp = dict(zip(said, _split([ids for _, ids in said], head, [read[key] for key in said])))
        for kind in dict.fromkeys(r.divergence for _, r in asked if r.divergence):
            rows_i = [i for i, (_, r) in enumerate(asked) if r.divergence == kind]
            both = torch.cat([states[i].last_RD for i in rows_i]), torch.cat([read[keys[i]] for i in rows_i])
            found_N = divergences(self._head, both[0], self.teacher.head, both[1], kind.beta, kind.temperature)
            for i, row in zip(rows_i, found_N.split([len(asked[i][1].ids) for i in rows_i])):
                scored[i] = replace(scored[i], divergence_R=row)
        return [replace(s, logp_teacher_R=logp[keys[i]]) if asked[i][1].teacher else s for i, s in enumerate(scored)]

    @property
    def _head(self) -> Any:
        return self.speechlm.lm.model.get_output_embeddings()

    def _precision(self) -> AbstractContextManager[Any]:
        return precision(self.speechlm.lm, self.settings.dtype)


def _split(
    labels: Sequence[Sequence[int]],
    logprobs: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    states: Sequence[torch.Tensor],
) -> Sequence[torch.Tensor]:
    """Log-probs of many answers' tokens in one call, answer by answer."""
    labels_N = torch.tensor([token for row in labels for token in row], device=states[0].device)
    return logprobs(torch.cat(list(states)), labels_N).split([len(row) for row in labels])
