"""Run folders with speech and self-samples, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rba.alignment.rollout import Drawn, Valued
from rba.data import shards
from rba.data.utterance import Utterance
from rba.models.adapters import adapter_parameters, add_lora
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import Workspace


def spoken() -> list[Utterance]:
    """Three training instructions in two voices, and one of each other split."""
    rest = [row for split in ("validation", "test") for row in tiny_utterances(1, 2, split)]
    return tiny_utterances(3, 2) + rest


def make_run(root: Path, rows: list[Utterance] | None = None, finished: bool = True) -> Path:
    """A run folder whose speech lies in two shards."""
    rows = spoken() if rows is None else rows
    folder = Workspace(root).stage("speech")
    folder.open("by hand")
    folder.write_shard(0, rows[:4], Utterance)
    folder.write_shard(1, rows[4:], Utterance)
    if finished:
        folder.complete()
    return root


def add_samples(root: Path, rewarded: bool = True) -> None:
    """Own answers to the training instructions: 0 has a best voice, 1 is tied, 2 is answered as the teacher does."""
    train = tiny_utterances(3, 2)
    texts = ["pear", "an apple!", "hi", "hello", train[4].response, train[5].response]
    rewards = [0.1, 0.9, 0.5, 0.5, 1.0, 1.0]
    drawn = [
        Drawn(u.id, u.instruction_id, 0, 0, text, [n], [-1.0], True) for n, (u, text) in enumerate(zip(train, texts))
    ]
    folder = root / "align" / ".shared" / "answers-abc"
    shards.write(folder / "round-00000-00000.parquet", drawn, Drawn)
    shards.write(folder / "typed-round-00000-00000.parquet", [], Drawn)
    if rewarded:
        valued = [Valued(u.id, 0, reward, ["recall"], [reward], []) for u, reward in zip(train, rewards)]
        shards.write(folder / f"rewards-{16 * 'a'}-round-00000-00000.parquet", valued, Valued)


def save_moved(speechlm: Any, run: Path) -> None:
    """Move an adapter and the connector off their start and save the model as the run's only final one."""
    add_lora(speechlm, rank=4)
    with torch.no_grad():
        for parameter in [*adapter_parameters(speechlm), *speechlm.connector_parameters()]:
            parameter.add_(0.05)
    speechlm.save(run / "final" / "sft")
