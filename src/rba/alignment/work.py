"""How well an update uses the machine: the FLOPs it needs, over what plain matrix products would do in its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rba import parallel
from rba.alignment.engine import Ask, Engine, prompt_of
from rba.alignment.objectives.objective import TYPED, Objective, Request, Task
from rba.lm.flops import Decoder, Work, countable, matmul_rate, shared_work
from rba.lm.number_format import number_format
from rba.lm.scorer import shared_rows


@dataclass(frozen=True)
class WorkCounter:
    """Counts what updates need with nothing done twice.

    Norms, activations, connector and optimiser are left out, and so are rewards. `rows` gives the rows of the prompt
    for an utterance that is "heard" or a text that is "read"; the first `frame` of them begin all prompts.
    """

    rows: Callable[[str, str], int]
    decoder: Decoder
    teacher: Decoder | None
    with_reference: bool
    frame: int

    def flops(self, tasks: Sequence[Task], wanted: Sequence[Sequence[Request]], drawn: bool) -> int:
        """What scoring these requests and their gradient need, and with `drawn` the drawing of the self-samples."""
        asked = [(task, request) for task, requests in zip(tasks, wanted) for request in requests]
        total = self._scoring(self.decoder, [a for a in asked if a[1].train], train=True)
        total += self._scoring(self.decoder, [a for a in asked if not a[1].train], train=False)
        if self.with_reference:
            total += self._scoring(replace(self.decoder, rank=0), asked, train=False)
        if drawn:
            own = [(t, Request(t.voice(s), s.ids, "own")) for t in tasks for s in t.samples]
            own += [(t, Request(TYPED, s.ids, "own")) for t in tasks for s in t.typed]
            total += self._scoring(self.decoder, own, train=False)
        return total + self._teaching(asked)

    def backward(self, tasks: Sequence[Task], wanted: Sequence[Sequence[Request]]) -> int:
        """What the gradient through the blocks needs of that."""
        return self.decoder.backward(self._work(_trained(tasks, wanted)))

    def again(self, tasks: Sequence[Task], wanted: Sequence[Sequence[Request]]) -> int:
        """What blocks that run again in the backward pass add (`gradient_checkpointing`)."""
        return self.decoder.forward(self._work(_trained(tasks, wanted)))

    def _scoring(self, decoder: Decoder, asked: Sequence[Ask], train: bool) -> int:
        work = self._work(asked)
        once = decoder.forward(work) + decoder.head(work)
        return once + decoder.backward(work) + decoder.head(work) if train else once

    def _teaching(self, asked: Sequence[Ask]) -> int:
        """The teacher's reading of every answer it is asked about, and the logits that divergences compare."""
        taught = [(task, request) for task, request in asked if request.teacher or request.divergence]
        if not taught or self.teacher is None:
            return 0
        different = {(t.text, r.ids): (t, Request(TYPED, r.ids, "own")) for t, r in taught}
        compared = self._work([(t, r) for t, r in taught if r.divergence])
        reading = self._scoring(self.teacher, list(different.values()), train=False)
        return reading + 2 * self.decoder.head(compared) + self.teacher.head(compared)

    def _work(self, asked: Sequence[Ask]) -> Work:
        lengths: dict[Any, list[int]] = {}
        for task, request in asked:
            lengths.setdefault(prompt_of(task, request), []).append(len(request.ids))
        rows = [self.rows(*prompt) for prompt in lengths]
        return shared_work(rows, list(lengths.values()), self.frame if len(rows) > 1 else 0)


def _trained(tasks: Sequence[Task], wanted: Sequence[Sequence[Request]]) -> list[Ask]:
    return [(task, request) for task, requests in zip(tasks, wanted) for request in requests if request.train]


class WorkMeter:
    """What a trainer's updates need, by a `WorkCounter`; silent for LLMs whose shape it does not know."""

    def __init__(self, engine: Engine, objective: Objective, dtype: str, names: Sequence[str]):
        model, teacher = engine.speechlm.lm.model, engine.teacher.lm
        self.decoder = Decoder.of(model) if countable(model) else None
        reader = replace(Decoder.of(teacher.model), rank=0) if teacher and countable(teacher.model) else None
        frame = 0 if engine.bank.has_features else shared_rows(engine.bank.initial(names[:2]))
        self.counter = (
            WorkCounter(engine.rows, self.decoder, reader, objective.needs_reference, frame) if self.decoder else None
        )
        leads = self.counter is not None and parallel.world().leads
        device = engine.speechlm.lm.device
        self.rate = matmul_rate(device, number_format(dtype, device)) if leads else 0.0

    def flops(self, tasks: Sequence[Task], wanted: Sequence[Sequence[Request]], drawn: bool) -> int:
        """As `WorkCounter.flops`; 0 for an LLM of unknown shape."""
        return self.counter.flops(tasks, wanted, drawn) if self.counter else 0

    def utilisation(self, flops: int, seconds: float) -> dict[str, float]:
        """`matmul_utilisation`: the share of the rate of products that all processes together achieved."""
        return {"matmul_utilisation": flops / (seconds * self.rate * parallel.world().size)} if self.rate else {}
