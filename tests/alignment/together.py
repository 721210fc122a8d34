"""What the processes of a launcher do for `test_parallel`: `torchrun ... together.py FOLDER`.

Imported, it does the same alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import save_file

from rba import parallel
from rba.alignment.bank import build_bank
from rba.alignment.engine import Engine
from rba.alignment.groups import make_groups
from rba.alignment.objectives.objective import Request, load_objective
from rba.alignment.objectives.settings import GrpoSettings
from rba.alignment.policy import Policy
from rba.alignment.settings import AdaptiveSettings, AlignSettings, ValidationSettings
from rba.alignment.stage import align
from rba.alignment.token_teacher import own_teacher
from rba.alignment.trainer import Trainer
from rba.models.adapters import add_lora, lora_parameters
from rba.testing.tiny_speechlm import tiny_speechlm
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import StageFolder, write_json

from .conftest import SMALL, variety

SETTINGS = replace(
    SMALL,
    steps=3,
    groups_per_step=3,
    lr=1e-3,
    connector_lr=1e-4,
    answers=2,
    batch_tokens=256,
    refresh="online",
    validation=ValidationSettings(every=3, groups=2, by="likelihood"),
    adaptive=AdaptiveSettings(drift_every=2, drift_answers=2, drift_target=0.001),
    checkpoint_minutes=0.0,
)
CASES: dict[str, tuple[str, AlignSettings]] = {
    "sft": ("sft", replace(SETTINGS, train_connector=True)),
    "rba-single": ("rba-single", replace(SETTINGS, refresh="once")),
    "rba-group": ("rba-group", SETTINGS),
    "grpo": ("grpo", replace(SETTINGS, grpo=GrpoSettings(loss="dapo", scale="batch"))),
    "ppo": ("ppo", replace(SETTINGS, refresh="per_round", round_steps=1)),
    "few": ("rba-group", replace(SETTINGS, groups_per_step=1)),  # less to do than there are processes
}
RESUMED = "rba-group"
HALF = 1


class Stop(Exception):
    """The end of a run that is cut short."""


def train(place: Path, case: str) -> list[dict[str, Any]]:
    """Align by a case into `place`, or go on with it; the records of the log. The weights are kept in full."""
    method, settings = CASES[case]
    with parallel.leader_first():
        folder = StageFolder(place / case / "align" / method)
        if parallel.world().leads:
            folder.open("mark")
    records: list[dict[str, Any]] = []
    speechlm = tiny_speechlm()
    align(
        speechlm,
        settings,
        method=method,
        folder=folder,
        seed=3,
        utterances=tiny_utterances(5, 2) + tiny_utterances(2, 2, "validation"),
        reward=lambda *extra: variety,
        log=records.append,
    )
    if parallel.world().leads:
        write_json(place / case / "records.json", records)
        trained = {f"lora.{i}": p.detach() for i, p in enumerate(lora_parameters(speechlm))}
        trained |= {f"connector.{i}": p.detach() for i, p in enumerate(speechlm.connector_parameters())}
        save_file(trained, place / case / "trained.safetensors")
    return records


@contextmanager
def cut_short() -> Iterator[None]:
    """Inside, every process of a training stops once the state after update HALF is saved."""
    save = Trainer._save

    def stop(trainer: Trainer) -> None:
        save(trainer)
        if trainer.step == HALF:
            raise Stop

    with patch.object(Trainer, "_save", stop):
        try:
            yield
        except Stop:
            parallel.gathered(None)
        else:
            raise AssertionError("it was not stopped")


def scored(rank: int, wrap: Any = lambda policy: policy) -> Policy:
    """A policy that a loss on its own of three instructions was followed back through; `wrap` may wrap it before."""
    speechlm, rows = tiny_speechlm(), tiny_utterances(3, 2)
    bank, _ = build_bank(speechlm, rows, keep_features=False)
    lm = speechlm.lm
    groups, _ = make_groups(rows, "train", lm.tokenizer, lm.end_ids[0], 16)
    add_lora(speechlm, 4, 8, seed=1)
    torch.manual_seed(0)
    for parameter in lora_parameters(speechlm):
        torch.nn.init.normal_(parameter, 0, 0.2)
    policy = Policy(speechlm, SETTINGS)
    engine = Engine(speechlm, bank, SETTINGS, own_teacher(speechlm, SETTINGS), wrap(policy))
    task = groups[rank].task()
    wanted = [Request(voice, task.reference, "reference") for voice in range(len(task.utterances))]
    wanted.append(Request(0, (9, 8, 7), "own"))
    (found,) = engine.score(load_objective("sft", SETTINGS), [task], [wanted])
    torch.cat([s.logp_R for s in found]).sum().backward()
    return policy


def gradients(policy: Policy) -> dict[str, torch.Tensor]:
    """What was found for every trained weight, whole."""
    held = {n.replace("_fsdp_wrapped_module.", ""): p.grad for n, p in policy.named_parameters() if p.requires_grad}
    return {n: g.full_tensor() if hasattr(g, "full_tensor") else g for n, g in held.items()}


def sharded(policy: Policy) -> Policy:
    """The policy in shards of all processes: one group, since a block's passes are tied by more than its output."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(policy, mesh=init_device_mesh("cpu", (parallel.world().size,)))


def main(place: Path) -> None:
    """Everything that is compared with a single process."""
    with parallel.joined() as world:
        for case in CASES:
            train(place / "whole", case)
        if world.size > 1:
            train(place / "alone-first", RESUMED)
            with cut_short():
                train(place / "together-first", RESUMED)
            for name, wrap in (("ddp", torch.nn.parallel.DistributedDataParallel), ("fsdp", sharded)):
                found = gradients(scored(world.rank, wrap))
                if world.leads:
                    save_file({n: g.contiguous() for n, g in found.items()}, place / f"{name}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
