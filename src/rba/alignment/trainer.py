"""The training loop: it scores what an objective asks for and follows its gradient; it knows none of the algorithms.

Everything an update depends on is a function of the seed and the update's number, or is in the checkpoint: a run that
was killed and resumed ends with the same bits as one that was not (on the CPU, with the same number of threads).

Processes that work together (`rba.parallel`) share an update's instructions. A micro-batch's loss has its share of the
*whole* update as weight, so the sum of all gradients is that of one process, up to the order of summation; every
process then takes the same step. What is measured and written, the leader measures and writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rba import parallel, runtime
from rba.alignment.bank import PromptBank
from rba.alignment.drift import DriftProbe
from rba.alignment.engine import Engine
from rba.alignment.groups import Group
from rba.alignment.keeper import Keeper
from rba.alignment.masters import DividedMasters, Masters
from rba.alignment.metrics import loss_metrics, reference_drift, rollout_drift, sample_metrics
from rba.alignment.objectives.objective import Batch, Objective, Request, Task, Terms
from rba.alignment.optimizer import OWN, make_optimizer, set_rate, trained_parameters
from rba.alignment.rollout import Rollouts
from rba.alignment.schedule import AdaptiveRate
from rba.alignment.settings import AlignSettings
from rba.alignment.token_teacher import TokenTeacher, own_teacher
from rba.alignment.validation import Best, Validator
from rba.alignment.work import WorkMeter
from rba.data import seeds
from rba.errors import ModelError, ProcessError
from rba.models.adapters import adapter_dropout
from rba.models.speechlm import SpeechLM
from rba.progress import progress
from rba.rates import warmup_cosine

MOST_BAD_UPDATES = 10


@dataclass(frozen=True)
class Outcome:
    """How training went: updates done, the update whose weights were kept and its validation score, if there is one."""

    steps: int
    best_step: int
    best_score: float | None


def micro_batches(costs: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in order, in as few parts as cost at most `budget` each (or are one item), and those of even cost.

    Instructions stay whole; even parts need the least memory at once.
    """
    parts = _cut(costs, budget)
    cap = sum(costs) // max(1, len(parts))
    while len(even := _cut(costs, min(cap, budget))) > len(parts):
        cap += max(1, budget // 64)
    return even


def _cut(costs: Sequence[int], budget: int) -> list[list[int]]:
    parts: list[list[int]] = []
    spent = 0
    for i, cost in enumerate(costs):
        if not parts or spent + cost > budget:
            parts.append([])
            spent = 0
        parts[-1].append(i)
        spent += cost
    return parts


class Trainer:
    """Trains a SpeechLM in place with one objective over a plan of instructions, update by update.

    `rollouts` is None for objectives without self-samples; `validator` and `probe` may be None. Without a `teacher` of
    its own, an objective that needs one gets the SpeechLM's LLM as it was. Checkpoints go to `folder`, one record an
    update to `log`, by the leader of the processes alone.
    """

    def __init__(
        self,
        speechlm: SpeechLM,
        objective: Objective,
        plan: Sequence[Sequence[Group]],
        bank: PromptBank,
        settings: AlignSettings,
        *,
        rollouts: Rollouts | None,
        validator: Validator | None,
        probe: DriftProbe | None,
        folder: Path,
        seed: int,
        log: Callable[[dict[str, Any]], None],
        teacher: TokenTeacher | None = None,
    ):
        self.speechlm, self.objective, self.plan, self.bank, self.settings = speechlm, objective, plan, bank, settings
        self.rollouts, self.validator, self.probe, self.seed = rollouts, validator, probe, seed
        self.world = parallel.world()
        self._write = log if self.world.leads else lambda record: None
        self.engine = Engine(speechlm, bank, settings, teacher or own_teacher(speechlm, settings))
        width = speechlm.lm.model.config.get_text_config().hidden_size
        own = objective.own_parameters(width, speechlm.lm.device)
        self.parameters = trained_parameters(speechlm, settings) | {OWN + name: p for name, p in own.items()}
        divided = settings.sharding != "none"
        self.masters = DividedMasters(self.parameters) if divided else Masters(self.parameters)
        self.optimizer = make_optimizer(self.masters.weights, settings, objective.own_lr)
        self.keeper = Keeper(folder, self.masters, self.optimizer, settings.checkpoint == "sharded")
        self.rate, self.best = AdaptiveRate(settings.adaptive), Best()
        heard = list(dict.fromkeys(name for groups in plan for group in groups for name in group.utterances))
        self.work = WorkMeter(self.engine, objective, settings.dtype, heard)
        self.step, self.bad = 0, 0
        self.stopped = False

    def log(self, record: dict[str, Any]) -> None:
        """Write a record, less what is not finite: JSON has no NaN and no infinity."""
        self._write({k: v for k, v in record.items() if math.isfinite(v)})

    @property
    def size(self) -> int:
        """How many numbers of the model are trained."""
        return sum(p.numel() for name, p in self.parameters.items() if not name.startswith(OWN))

    def run(self) -> Outcome:
        """Train to the end, from the last checkpoint if there is one, and leave the kept weights in the model."""
        self._restore()
        if self.step == 0:
            with self.speechlm.lm.weights.in_step():
                if self.validator:
                    self.log({"step": 0, **self._validate()})
        self._agree()
        saved = time.monotonic()
        with progress(f"aligning ({self.objective.name})", len(self.plan) - self.step) as bar:
            while self.step < len(self.plan) and not self.stopped:
                record = self._step()
                self.log(record)
                bar.advance(1, f"loss {record.get('loss', math.nan):.3f}")
                self._agree()
                if self.best.step == self.step:
                    self.keeper.save_best(self.step)
                due = parallel.told(time.monotonic() - saved >= 60 * self.settings.checkpoint_minutes)
                if due or self.stopped or self.step == len(self.plan):
                    self._save()
                    saved = time.monotonic()
        if self.best.step:
            self.keeper.take_best(self.best.step)
            parallel.gathered(None)  # the leader may now remove what the others have read
        return Outcome(self.step, self.best.step or self.step, self.best.score if self.best.step else None)

    def _step(self) -> dict[str, Any]:
        """One update, and the measurements that are due after it."""
        start = time.monotonic()
        share = warmup_cosine(self.step, len(self.plan), self.settings.warmup) * self.rate.multiplier
        set_rate(self.optimizer, share)
        tasks, fresh = [group.task() for group in self.plan[self.step]], False
        if self.rollouts:
            tasks, fresh = self.rollouts.tasks(self.step)
        online = fresh and self.settings.refresh == "online"
        worked = start if online else time.monotonic()
        record = {
            "step": self.step + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "lr_multiplier": self.rate.multiplier,
        }
        record |= sample_metrics(tasks, self.objective.needs_rewards) | self._update(tasks, online)
        record |= self.work.utilisation(record.pop("flops"), time.monotonic() - worked)
        self.step += 1
        if fresh and self.settings.refresh != "once":
            self._observe_rewards()
        with self.speechlm.lm.weights.in_step():
            return record | self._measure(record.pop("tokens"), start)

    def _measure(self, tokens: float, start: float) -> dict[str, float]:
        """What is due after an update of so many `tokens` that began at `start`."""
        found, adaptive = {}, self.settings.adaptive
        if self.probe and adaptive.drift_every and self.step % adaptive.drift_every == 0:
            found["kl"] = self.probe.measure()
            self.rate.observe_drift(found["kl"])
        found["seconds"] = time.monotonic() - start
        found["tokens_per_second"] = tokens / found["seconds"]
        every = self.settings.validation.every
        if self.validator and (self.step % every == 0 or self.step == len(self.plan)):
            found |= self._validate()
        return found

    def _update(self, tasks: Sequence[Task], drawn: bool) -> dict[str, float]:
        """Gradient over all instructions of the update in micro-batches, clipped; then the optimiser's step."""
        own = (self.world.rank,) if self.world.rank else ()  # no two processes drop out the same
        torch.manual_seed(seeds.derive(self.seed, "update", self.step, *own) % 2**31)
        tasks = [replace(task, seed=seeds.derive(self.seed, "task", self.step, task.text)) for task in tasks]
        wanted = [self.objective.requests(task) for task in tasks]
        costs = [self.engine.cost(task, requests) for task, requests in zip(tasks, wanted)]
        mine, seen = parallel.shares(costs), []
        parts = micro_batches([costs[i] for i in mine], self.settings.batch_tokens)
        trained, weights = list(self.parameters.values()), self.speechlm.lm.weights
        with adapter_dropout(self.speechlm):
            for number in range(weights.rounds(len(parts))):
                loss = None
                with weights.in_step():
                    if number < len(parts):
                        chosen = [mine[k] for k in parts[number]]
                        terms = self._terms([tasks[i] for i in chosen], [wanted[i] for i in chosen], tasks)
                        share = len(chosen) / len(tasks)
                        loss = share * terms.total
                        seen.append((terms.settled(), share))
                weights.backward(loss, trained)
        self.masters.sum()
        norm = self._clip()
        self._apply(norm)
        found = loss_metrics([pair for part in parallel.gathered(seen) for pair in part])
        flops = self.work.flops(tasks, wanted, drawn)
        return {**found, "grad_norm": norm, "tokens": float(sum(costs)), "flops": flops}

    def _clip(self) -> float:
        """Clip the gradients of the model and of the objective's own weights, each by itself; the model's norm."""
        norms = []
        for own in (True, False):
            chosen = [name for name in self.parameters if name.startswith(OWN) == own]
            norms.append(self.masters.clip(chosen, self.settings.clip) if chosen else 0.0)
        return norms[1] if math.isfinite(norms[0]) else norms[0]

    def _apply(self, norm: float) -> None:
        """Step, unless the gradient is no number: such updates are left out; many in a row end the run."""
        self.bad = 0 if math.isfinite(norm) else self.bad + 1
        if self.bad > MOST_BAD_UPDATES:
            fix = "lower align.lr or set align.dtype=float32"
            raise ModelError(f"{self.bad} updates in a row have no finite gradient", self.objective.name, fix)
        self.masters.take()
        if not self.bad:
            self.optimizer.step()
            self.masters.give()
        self.optimizer.zero_grad(set_to_none=True)

    def _terms(self, tasks: Sequence[Task], wanted: Sequence[Sequence[Request]], update: Sequence[Task]) -> Terms:
        """Score what the objective wants for these instructions, a part of the update, and hand it back."""
        batch = Batch(tasks, self.engine.score(self.objective, tasks, wanted), update)
        terms = self.objective.terms(batch)
        return replace(terms, metrics={**terms.metrics, **rollout_drift(batch), **reference_drift(batch)})

    def _observe_rewards(self) -> None:
        if self.settings.reward_scaling != "none":
            return  # their mean is zero by construction
        rewards = [s.reward for s in self.rollouts.samples if s.reward is not None] if self.rollouts else []
        if rewards:
            self.rate.observe_score("reward", sum(rewards) / len(rewards))

    def _validate(self) -> dict[str, float]:
        """Validate; note whether it is the best so far, and stop when there was none for too long."""
        assert self.validator is not None
        found = self.validator()
        runtime.give_back()
        value = found["validation/score"]
        if math.isfinite(value):
            self.rate.observe_score("validation", value)
        if self.step:
            self.best.update(value, self.step)
        patience = self.settings.validation.patience
        self.stopped = bool(patience) and self.best.since >= patience
        return found

    def _save(self) -> None:
        self.keeper.save(self._counters(), self.best.step)

    def _restore(self) -> None:
        """Take the last state if there is one. Raises ProcessError where processes do not find the same."""
        with parallel.leader_first():
            state = self.keeper.restore()
        if state:
            self._take(state)
        if len(set(parallel.gathered(self.step))) > 1:
            fix = "start all of them on one machine, or on a file system that they share"
            raise ProcessError("the processes do not see the same run folder", str(self.keeper.folder), fix)
        if state:
            self.masters.give()
        parallel.same_weights(list(self.parameters.values()))

    def _agree(self) -> None:
        """Take what the leader has concluded from its measurements."""
        self._take(parallel.told(self._counters()))

    def _counters(self) -> dict[str, Any]:
        counters = {"step": self.step, "bad": self.bad, "stopped": self.stopped}
        dropped = self.rollouts.dropped if self.rollouts else {}
        return {**counters, "rate": self.rate.state(), "best": asdict(self.best), "dropped": dropped}

    def _take(self, state: dict[str, Any]) -> None:
        self.step, self.bad, self.stopped = state["step"], state["bad"], state["stopped"]
        self.rate.restore(state["rate"])
        self.best = Best(**state["best"])
        if self.rollouts:
            self.rollouts.dropped = state["dropped"]
