"""A whole step of a method as a share of the cores' matmul rate, its phases, and its peak memory.

    python benchmarks/step.py [--method rba-single] [--instructions 4] [--voices 4] [--answers 1] [--tokens 64] [--tiny]

A step draws fresh answers, scores them and the teacher's, goes backward and updates the adapter, as `rba align` does.
The FLOPs it needs share what can be shared; the ratio is what it achieves of the matmul rate that was measured between
the steps. Peak memory is taken in processes of their own: ours with each of `--memory-answers` answers a voice, against
the plain path (transformers' rollout, whole rows, all logits) with one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from rba import runtime

runtime.prepare()  # before torch is imported

import plain
import speech
import torch
from floor import decoding_floor
from memory import peak, reset_peak, resident
from timing import MATMUL, Machine, interleaved, now, probe_size, probes

from rba.alignment.bank import build_bank
from rba.alignment.groups import make_groups, plan
from rba.alignment.objectives.objective import Task, load_objective
from rba.alignment.rollout import Rollouts
from rba.alignment.settings import AdaptiveSettings, AlignSettings, ValidationSettings
from rba.alignment.trainer import Trainer
from rba.lm.flops import Decoder
from rba.lm.sampling import Sampling
from rba.models.adapters import add_lora

OURS, PLAIN = "rba", "plain"
STEP = "step"
PHASES = ("rollout", "score", "backward", "update")


def make_trainer(args: argparse.Namespace, folder: Path) -> Trainer:
    """A trainer with as many steps as are timed, and one to warm up."""
    speechlm = speech.open_model(args.model, args.tiny)
    settings = AlignSettings(
        methods=(args.method,),
        steps=args.rounds + 1,
        groups_per_step=args.instructions,
        answers=args.answers,
        sample=Sampling(max_new_tokens=args.tokens),
        max_response=args.tokens,
        refresh="online",
        adaptive=AdaptiveSettings(enabled=False, drift_every=0),
        validation=ValidationSettings(every=0),
        dtype="float32" if args.tiny else "auto",
        batch_tokens=args.batch_tokens,
        gradient_checkpointing=args.checkpointing,
    )
    rows = speech.utterances(args.instructions, args.voices, args.tiny)
    bank, _ = build_bank(speechlm, rows, keep_features=False)
    lm = speechlm.lm
    groups, _ = make_groups(rows, "train", lm.tokenizer, lm.end_ids[0], settings.max_response)
    steps = plan(groups, settings.groups_per_step, settings.steps, args.seed)
    add_lora(speechlm, settings.lora.rank, settings.lora.alpha, seed=args.seed)
    objective = load_objective(args.method, settings)
    rollouts = Rollouts(speechlm, bank, steps, settings, variety, folder, args.seed)
    return Trainer(
        speechlm,
        objective,
        steps,
        bank,
        settings,
        rollouts=rollouts if objective.needs_samples else None,
        validator=None,
        probe=None,
        folder=folder,
        seed=args.seed,
        log=lambda record: None,
    )


def variety(prompts: Sequence[str], completions: Sequence[str], ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
    """A reward that costs nothing: the share of an answer's tokens that are different."""
    return [len(set(row)) / len(row) for row in ids]


class Phases:
    """Where the time of a step goes: `seconds` by phase, since they were last cleared."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def _timed(self, call: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            start = now()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[phase] += now() - start

        return wrapped

    @contextmanager
    def watch(self, trainer: Trainer) -> Iterator[None]:
        """Time the parts of the trainer's steps; what is in none of them is the loss and the bookkeeping."""
        parts = (
            *(((trainer.rollouts, "tasks", "rollout"),) if trainer.rollouts else ()),
            (trainer.engine, "score", "score"),
            (torch.Tensor, "backward", "backward"),
            (trainer, "_clip", "update"),
            (trainer, "_apply", "update"),
        )
        with ExitStack() as stack:
            for owner, name, phase in parts:
                stack.enter_context(patch.object(owner, name, self._timed(getattr(owner, name), phase)))
            yield


@dataclass(frozen=True)
class Done:
    """A step that was timed: its `total` seconds and those of its `phases`, FLOPs by phase, the rollout's floor."""

    total: float
    phases: Mapping[str, float]
    flops: Mapping[str, int]
    rollout_floor: float

    def floor(self, phase: str, machine: Machine) -> float:
        """The seconds that a phase takes at least."""
        return self.rollout_floor if phase == "rollout" else machine.floor(self.flops[phase])


def count(trainer: Trainer, decoder: Decoder, tasks: Sequence[Task], machine: Machine) -> tuple[dict[str, int], float]:
    """FLOPs by phase that a step with these tasks needs, and the seconds that its rollout takes at least."""
    counter = trainer.work.counter
    assert counter is not None
    wanted = [trainer.objective.requests(task) for task in tasks]
    backward = counter.backward(tasks, wanted)
    flops = {
        "rollout": 0,
        "score": counter.flops(tasks, wanted, drawn=False) - backward,  # the slope of the logits is taken with them
        "backward": backward,
        "update": 0,
    }
    if trainer.rollouts is None:
        return flops, 0.0
    names = [name for task in tasks for name in task.utterances]
    widths = [trainer.bank.length(name) for name in names]
    drawn = [[len(s.ids) for s in task.samples if s.utterance == name] for task in tasks for name in task.utterances]
    flops["rollout"] = decoder.decoding(widths, drawn)
    return flops, decoding_floor(decoder, machine, widths, drawn)


def measure_speed(args: argparse.Namespace, folder: Path) -> float:
    """Time steps and their phases and print them; the achieved share of the matmul rate."""
    trainer, phases = make_trainer(args, folder), Phases()
    decoder, device = Decoder.of(trainer.speechlm.lm.model), trainer.speechlm.lm.device
    size, rest = probe_size(device, args.tiny), resident()
    others = probes(device, size)
    held = resident() - rest  # by the probes
    records: list[tuple[dict[str, float], Sequence[Task]]] = []
    peaks: list[int] = []

    def step() -> None:
        phases.seconds.clear()
        reset_peak()
        trainer._step()
        peaks.append(peak())
        done, last = dict(phases.seconds), trainer.step - 1
        drawn = trainer.rollouts.tasks(last)[0] if trainer.rollouts else [g.task() for g in trainer.plan[last]]
        records.append((done, drawn))

    with phases.watch(trainer):
        times = interleaved({STEP: step, **others}, args.rounds)
    machine = Machine.of(times, size)
    steps = [
        Done(total, seconds, *count(trainer, decoder, tasks, machine))
        for total, (seconds, tasks) in zip(times[STEP], records[1:])
    ]
    print(
        f"{args.method}: {args.instructions} instructions in {args.voices} voices, {args.answers} answers a voice, "
        f"prompts of {trainer.bank.length(records[0][1][0].utterances[0])} rows. {machine}"
    )
    rates = [machine.flops * median(times[MATMUL]) / seconds / 1e9 for seconds in times[MATMUL]]
    print(
        f"memory: {rest / 2**30:.1f} GiB before the first step, at most {(max(peaks) - held) / 2**30:.1f} GiB in a step"
    )
    print(f"the matmul rate varied from {min(rates):.0f} to {max(rates):.0f} GFLOP/s")
    return report(steps, machine)


def report(steps: Sequence[Done], machine: Machine) -> float:
    """Print the medians of the phases and of the whole; the share of the matmul rate that a step achieves."""
    for phase in PHASES:
        seconds = median(step.phases.get(phase, 0.0) for step in steps)
        share = seconds / median(step.total for step in steps)
        flops = median(step.flops[phase] for step in steps)
        floor = median(step.floor(phase, machine) for step in steps)
        print(
            f"  {phase:8} {seconds:7.3f} s, {share:4.0%} of the step; {flops / 1e9:6.3g} GFLOP, floor {floor:.3f} s, "
            f"{flops / seconds / machine.flops:4.0%} of the matmul rate"
            if seconds
            else f"  {phase:8} none"
        )
    rest = median(step.total - sum(step.phases.values()) for step in steps)
    print(f"  {'the rest':8} {rest:7.3f} s")
    whole = median(step.total for step in steps)
    flops = median(sum(step.flops.values()) for step in steps)
    floor = median(sum(step.floor(phase, machine) for phase in PHASES) for step in steps)
    print(f"  {'all':8} {whole:7.3f} s; {flops / 1e9:.4g} GFLOP, floor {floor:.3f} s, {floor / whole:.0%} of the time")
    return median(sum(step.flops.values()) / step.total / machine.flops for step in steps)


def measure_memory(args: argparse.Namespace, folder: Path) -> None:
    """In a process of its own: two steps; prints what was held before them and at most."""
    trainer = make_trainer(args, folder)
    before = resident()
    reset_peak()
    with plain.sharing_nothing() if args.memory_of == PLAIN else nullcontext():
        for _ in range(2):
            trainer._step()
    print(json.dumps({"before": before, "peak": peak()}))


def memory_of(way: str, answers: int) -> dict[str, int]:
    """Start this program again for `measure_memory`."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", way, "--answers", str(answers), "--rounds", "1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare_memory(answers: list[int]) -> None:
    """Print the peaks of both ways, and what they hold beyond the model at rest."""
    base = memory_of(PLAIN, 1)
    extra = base["peak"] - base["before"]
    print(f"peak memory: plain, 1 answer a voice: {base['peak'] / 2**30:.2f} GiB, {extra / 2**30:.2f} over rest")
    for count in answers:
        found = memory_of(OURS, count)
        own = found["peak"] - found["before"]
        print(
            f"peak memory: ours, {count} a voice: {found['peak'] / 2**30:.2f} GiB, {own / 2**30:.2f} over rest; "
            f"{found['peak'] / base['peak']:.2f} times the plain peak, {own / max(1, extra):.2f} times what it adds"
        )


def main() -> None:
    """Time the steps, then compare peak memory."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--method", default="rba-single", help="what is trained; a reward costs nothing")
    parser.add_argument("--instructions", type=int, default=4, help="in an update, up to 8")
    parser.add_argument("--voices", type=int, default=4, help="of each instruction")
    parser.add_argument("--answers", type=int, default=1, help="drawn for each voice")
    parser.add_argument("--tokens", type=int, default=64, help="the most that an answer has")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="in one forward and backward pass")
    parser.add_argument("--checkpointing", action="store_true", help="blocks run again in the backward pass")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-answers", type=int, nargs="*", default=[1, 8], help="none: memory is not measured")
    parser.add_argument("--model", default="shipped", help="a SpeechLM checkpoint, or random:NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="a random model made in memory: shows that it works")
    parser.add_argument("--memory-of", choices=[OURS, PLAIN], help=argparse.SUPPRESS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.memory_of:
            measure_memory(args, Path(folder))
            return
        ratio = measure_speed(args, Path(folder))
    if args.memory_answers:
        compare_memory(args.memory_answers)
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    main()
