"""Measures what objectives ask for: policy, reference and teacher on the same answers, in few forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from rba.alignment.bank import PromptBank
from rba.alignment.objectives.objective import TYPED, Objective, Request, Scored, Task
from rba.alignment.policy import Measured, Policy, Query, Taught
from rba.alignment.settings import AlignSettings
from rba.alignment.token_teacher import LocalTokenTeacher, TokenTeacher
from rba.models.adapters import reference
from rba.models.speechlm import SpeechLM

Ask = tuple[Task, Request]


class Engine:
    """Scores requests under the policy and, as the objective needs, under its reference and under the teacher.

    `policy` is the module that all gradients pass: a `Policy` of `speechlm`, or a wrapper around one.
    """

    def __init__(
        self,
        speechlm: SpeechLM,
        bank: PromptBank,
        settings: AlignSettings,
        teacher: TokenTeacher,
        policy: torch.nn.Module | None = None,
    ):
        self.speechlm, self.bank, self.teacher = speechlm, bank, teacher
        self.policy = policy or Policy(speechlm, settings)

    def cost(self, task: Task, requests: Sequence[Request]) -> int:
        """Tokens that pass the policy: a prompt once, and all answers."""
        return cost(task, requests, self.rows)

    def rows(self, way: str, name: str) -> int:
        """The rows of the prompt for an utterance that is "heard" or a text that is "read"."""
        return self.bank.length(name) if way == "heard" else len(self.speechlm.text_prompts([name])[0])

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
        logp_ref: list[Any] = [None] * len(asked)
        if with_reference:
            with reference(self.speechlm):
                logp_ref = self._measure(asked, initial=True).logp
        said, taught = self._teacher(asked)
        found = self._measure(asked, taught)
        return [
            Scored(r, logp, ref, divergence, _where_said(said.get(i), logp), states if r.states else None, layers)
            for i, ((_, r), ref, logp, states, layers, divergence) in enumerate(zip(asked, logp_ref, *found))
        ]

    def _measure(self, asked: Sequence[Ask], taught: Sequence[Taught] = (), initial: bool = False) -> Measured:
        """One pass of the policy, or of the `initial` model; the same prompt is one tensor, so that it passes once."""
        names = list(dict.fromkeys(t.utterances[r.voice] for t, r in asked if r.voice != TYPED))
        texts = list(dict.fromkeys(t.text for t, r in asked if r.voice == TYPED))
        number = {("heard", name): i for i, name in enumerate(names)}
        number |= {("read", text): len(names) + i for i, text in enumerate(texts)}
        owners = [number[prompt_of(task, request)] for task, request in asked]
        features = self.bank.has_features and not initial
        speech = self.bank.features(names) if features else self.bank.initial(names)
        layers = any(request.layers for _, request in asked)
        answers = [request.ids for _, request in asked]
        return self.policy(Query(speech, texts, owners, answers, features, layers, taught))

    def _teacher(self, asked: Sequence[Ask]) -> tuple[dict[int, torch.Tensor], list[Taught]]:
        """What the teacher says: log-probs by number of the request, and what divergences are to be taken from.

        It reads an answer once, however many voices it stands under.
        """
        keys = {i: (t.text, r.ids) for i, (t, r) in enumerate(asked) if r.teacher or r.divergence}
        said = list(dict.fromkeys(keys[i] for i, (_, r) in enumerate(asked) if r.teacher))
        kinds = list(dict.fromkeys(r.divergence for _, r in asked if r.divergence))
        taught: list[Taught] = []
        if kinds:
            assert isinstance(self.teacher, LocalTokenTeacher), "the stage gives no other to such objectives"
            different = list(dict.fromkeys(keys.values()))
            read = dict(zip(different, self.teacher.states([t for t, _ in different], [ids for _, ids in different])))
            spoken = self.teacher.logprobs_of([ids for _, ids in said], [read[key] for key in said])
            for kind in kinds:
                rows = [i for i, (_, r) in enumerate(asked) if r.divergence == kind]
                answers = [asked[i][1].ids for i in rows]
                taught.append(self.teacher.taught(kind, rows, answers, [read[keys[i]] for i in rows]))
        else:
            spoken = self.teacher.logprobs([text for text, _ in said], [ids for _, ids in said]) if said else []
        logp = dict(zip(said, spoken))
        return {i: logp[keys[i]] for i, (_, r) in enumerate(asked) if r.teacher}, taught


def _where_said(teacher_R: torch.Tensor | None, logp_R: torch.Tensor) -> torch.Tensor | None:
    """The teacher's log-probs; of tokens that it cannot write the policy's own, so that they count for nothing."""
    return None if teacher_R is None else torch.where(teacher_R.isnan(), logp_R.detach(), teacher_R)


def cost(task: Task, requests: Sequence[Request], rows: Callable[[str, str], int]) -> int:
    """Tokens that pass the policy: a prompt, of so many `rows`, once, and all answers."""
    prompts = dict.fromkeys(prompt_of(task, request) for request in requests)
    return sum(rows(*prompt) for prompt in prompts) + sum(len(request.ids) for request in requests)


def prompt_of(task: Task, request: Request) -> tuple[str, str]:
    """What a request's answer follows: a clip that is heard or a text that is read."""
    return ("read", task.text) if request.voice == TYPED else ("heard", task.utterances[request.voice])
