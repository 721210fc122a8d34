"""What several processes do for `test_parallel` and `test_sharding`, and what one does alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
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
from rba.lm import sharding
from rba.lm.scorer import score
from rba.lm.scoring import backbone
from rba.models.adapters import adapter_parameters, add_lora
from rba.testing.tiny_lm import tiny_text_lm
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
    "rba-single": ("rba-single", replace(SETTINGS, refresh="once", use_reference=True)),
    "rba-group": ("rba-group", SETTINGS),
    "grpo": (
        "grpo",
        replace(SETTINGS, refresh="per_round", round_steps=2, grpo=GrpoSettings(loss="dapo", scale="batch")),
    ),
    "ppo": ("ppo", replace(SETTINGS, refresh="per_round", round_steps=1)),
    "rba-opd": ("rba-opd", replace(SETTINGS, gradient_checkpointing=True)),
    "full": ("rba-group", replace(SETTINGS, tuning="full", lr=1e-4)),
    "few": ("rba-group", replace(SETTINGS, groups_per_step=1)),  # less to do than there are processes
}
SHARDED = ("sft", "rba-single", "rba-group", "grpo", "rba-opd", "full", "few")
RESUMED = "rba-group"
FULL = "full"
BEGUN_ALONE = {"alone-first": RESUMED, "alone-then-sharded": RESUMED, "alone-then-parts": FULL}
HALF = 1


class Stop(Exception):
    """The end of a run that is cut short."""


def train(place: Path, case: str, sharding: Any = "none", checkpoint: Any = "full") -> list[dict[str, Any]]:
    """Align by a case into `place`, or go on with it; the records of the log. The weights are kept in full."""
    method, settings = CASES[case]
    settings = replace(settings, sharding=sharding, checkpoint=checkpoint)
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
        trained = {f"llm.{i}": p.detach() for i, p in enumerate(adapter_parameters(speechlm))}
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
    for parameter in adapter_parameters(speechlm):
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
    return {n: p.grad for n, p in policy.named_parameters() if p.requires_grad and p.grad is not None}


def held(lm: Any) -> int:
    """Bytes of an LLM's weights in this process."""
    local = [p.to_local() if hasattr(p, "to_local") else p for p in lm.model.parameters()]
    return sum(p.numel() * p.element_size() for p in local)


def divided() -> dict[str, Any]:
    """What a process holds of a divided LLM of four blocks at rest and in a step of a length of its own."""
    lm, rank = tiny_text_lm(hidden=64, layers=4), parallel.world().rank
    blocks, together, whole = list(backbone(lm.model).layers), list[int](), held(lm)
    sharding.shard(lm, torch.device("cpu"))
    add_lora(SimpleNamespace(lm=lm), 2, 4, seed=1)
    trained = [p for p in lm.model.parameters() if p.requires_grad]
    size = sum(p.numel() * p.element_size() for p in trained)
    found = {"whole": whole, "at_rest": held(lm) - size}
    gather = sharding._AllGather.__call__

    def counted(self: Any, **parts: Any) -> Any:
        together.append(sum(not hasattr(b.mlp.up_proj.base_layer.weight, "to_local") for b in blocks))
        return gather(self, **parts)

    prompts = [lm.embed(list(range(40, 46 + i))) for i in range(3)]
    with patch.object(sharding._AllGather, "__call__", counted):
        with lm.weights.in_step():
            # the second process has one pass to make where the first has three
            logp = score(lm, prompts[: 3 - 2 * rank], [[7, 8, 9], [5] * 40, [6]][: 3 - 2 * rank], 64)
        lm.weights.backward(torch.cat(logp).sum(), trained)
    return {**found, "gathers": len(together), "most": max(together) + 1, "after": held(lm) - size}


def main(place: Path) -> None:
    """Everything of two processes that is compared with a single one."""
    torch.set_num_threads(1)
    with parallel.joined() as world:
        for case in CASES:
            train(place / "whole", case)
        train(place / "alone-first", RESUMED)
        with cut_short():
            train(place / "together-first", RESUMED)
        for case in SHARDED:
            train(place / "sharded", case, "fsdp")
        train(place / "alone-then-sharded", RESUMED, "fsdp")
        for name in ("sharded-then-alone", "sharded-twice"):
            with cut_short():
                train(place / name, RESUMED, "fsdp")
        train(place / "sharded-twice", RESUMED, "fsdp")
        for name in ("parts-then-alone", "parts-twice"):
            with cut_short():
                train(place / name, FULL, "fsdp", "sharded")
        train(place / "parts-twice", FULL, "fsdp", "sharded")
        train(place / "alone-then-parts", FULL, "fsdp", "sharded")
        seen = parallel.gathered(divided())
        found = gradients(scored(world.rank, torch.nn.parallel.DistributedDataParallel))
        if world.leads:
            (place / "divided.json").write_text(json.dumps(seen))
            save_file({n: g.contiguous() for n, g in found.items()}, place / "ddp.safetensors")


if __name__ == "__main__":  # one process that a launcher started
    torch.set_num_threads(1)
    with parallel.joined():
        train(Path(sys.argv[1]) / "whole", RESUMED)
