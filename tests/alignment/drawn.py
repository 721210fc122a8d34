"""What several processes draw from a server for `test_sampler`, and how they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rba import parallel
from rba.alignment.groups import plan
from rba.alignment.rollout import Rollouts
from rba.alignment.sampler import load_sampler
from rba.files import write_json
from rba.lm.scorer import score
from rba.models.adapters import adapter_parameters, add_lora

from .conftest import SMALL, Bench, variety


def moved(bench: Bench) -> None:
    """A policy of its own, the same everywhere."""
    add_lora(bench.speechlm, 4, 8, seed=1)
    with torch.no_grad():
        for parameter in adapter_parameters(bench.speechlm):
            parameter.add_(0.1)


def served(bench: Bench, folder: Path, server: str, **changes: Any) -> Rollouts:
    """The rollouts of two voices' answers by a server."""
    settings = replace(SMALL, rollout_server=server, answers=2, refresh="online", **changes)
    steps = plan(bench.groups, settings.groups_per_step, settings.steps, 7)
    sampler = load_sampler(bench.speechlm, settings, folder / "served")
    return Rollouts(bench.speechlm, bench.bank, steps, settings, variety, folder, 5, sampler)


def furthest(bench: Bench, made: Rollouts, step: int) -> float:
    """The largest difference between the log-probs that came with the answers of an update and the policy's own."""
    samples = [s for task in made.tasks(step)[0] for s in task.samples]
    prompts = bench.bank.current([s.utterance for s in samples])
    with torch.no_grad():
        own = score(bench.speechlm.lm, prompts, [list(s.ids) for s in samples], 512)
    return max(float((row - torch.tensor(s.logp)).abs().max()) for row, s in zip(own, samples))


def main(folder: Path, server: str) -> None:
    """Draw as one of them, and write what was drawn to a file of its own."""
    torch.set_num_threads(1)
    with parallel.joined() as world:
        bench = Bench(folder / f"bench-{world.rank}")
        moved(bench)
        made = served(bench, folder, server)
        far = furthest(bench, made, 1)
        texts = [s.text for task in made.tasks(1)[0] for s in task.samples]
        write_json(folder / f"{world.rank}.json", {"far": far, "texts": texts})
