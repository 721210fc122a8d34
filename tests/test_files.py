"""Files and folders that take their final names when the disk holds all of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rba import checkpoint
from rba.data.instruction import Instruction
from rba.data.shards import write
from rba.files import settle, write_text
from rba.publish import publish
from rba.recipe import Recipe


def a_checkpoint(folder: Path) -> Path:
    weight = torch.nn.Parameter(torch.ones(3))
    for _ in range(2):
        checkpoint.save(folder / "last", {"weight": weight}, torch.optim.AdamW([weight]), {"step": 1})
    return folder / "last"


def a_final_model(folder: Path) -> Path:
    (folder / "model" / "adapter").mkdir(parents=True)
    (folder / "model" / "adapter" / "weights").write_text("trained")
    publish(folder / "model", folder / "final" / "sft", Recipe("mine"))
    return folder / "final" / "sft"


def a_shard(folder: Path) -> Path:
    write(folder / "part-00000.parquet", [Instruction("1", "text")], Instruction)
    return folder / "part-00000.parquet"


def a_text(folder: Path) -> Path:
    write_text(folder / "report.html", "text")
    return folder / "report.html"


@pytest.mark.parametrize("make", [a_checkpoint, a_final_model, a_shard, a_text])
def test_a_final_name_is_taken_when_the_disk_holds_all_that_it_stands_for(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    held: set[int] = set()
    held_before: dict[Path, set[int]] = {}
    sync, rename = os.fsync, Path.replace

    def noted(number: int) -> None:
        held.add(os.fstat(number).st_ino)
        sync(number)

    def taken(path: Path, target: Path) -> Path:
        held_before[target] = set(held)
        held.discard(target.parent.stat().st_ino)  # the new name is not there yet
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", taken)
    made = make(tmp_path)
    parts = {path.stat().st_ino for path in (made, *made.rglob("*"))}
    assert parts <= held_before[made], "a power cut would leave an empty file of this name"
    assert made.parent.stat().st_ino in held, "a power cut would forget the name"


def test_a_folder_that_cannot_be_brought_to_the_disk_hinders_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sync = os.fsync

    def files_only(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(22, "Invalid argument")
        sync(number)

    monkeypatch.setattr(os, "fsync", files_only)
    (tmp_path / "arriving").write_text("whole")
    settle(tmp_path / "arriving", tmp_path / "here")
    assert (tmp_path / "here").read_text() == "whole"
