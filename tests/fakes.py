"""Stages that take no time and no models: the order, the skipping and the resuming of runs are tested with them.

`install()` puts them where `rba.pipeline` looks for the real ones. `PAUSE_AT=name` in the environment makes the stage
of that name stop, and say so, when it is half done: a place to be killed at.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

from rba.data import audio
from rba.data.instruction import Instruction
from rba.data.utterance import Utterance
from rba.workspace import Workspace, write_json, write_text

STEPS = ("synthesis", "speech", "connect", "align/sft", "align/rba-group", "evaluation")
DONE: list[str] = []
"""What the fakes have done in this process, in order: stage names with shard numbers."""


def done() -> list[str]:
    """What the fakes have done since this was last asked, without repeats."""
    names = list(dict.fromkeys(entry.split()[0] for entry in DONE))
    DONE.clear()
    return names


def hashes(root: Path) -> dict[str, str]:
    """The hash of each stage's files."""
    return {name: Workspace(root).stage(name).output_hash() for name in STEPS}


def work(name: str, index: int = 0) -> None:
    """Note a piece of work; stop before the second piece of the stage named by PAUSE_AT."""
    if os.environ.get("PAUSE_AT") == name and index == 1:
        print(f"paused in {name}", flush=True)
        time.sleep(60)
    DONE.append(f"{name} {index}")


def digest(*parts: Any) -> str:
    """Stands for what training makes of its inputs."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def synthesize(settings: Any, *, folder: Any, seed: int, teacher: str, task: Any, cluster: Any) -> None:
    """Two shards of one instruction each."""
    for index in range(2):
        if not folder.has_shard(index):
            work("synthesis", index)
            row = Instruction(
                f"i{index}",
                f"say {index}",
                digest(settings, seed, teacher, task.teaching(settings.answer_preamble))[:8],
            )
            folder.write_shard(index, [row], Instruction)
    folder.complete()


def speak(settings: Any, *, folder: Any, seed: int, instructions: list[Instruction], cluster: Any) -> None:
    """A shard of one utterance per instruction."""
    sound = audio.encode(np.full(4_000, 0.1, np.float32))
    for index, item in enumerate(instructions):
        if not folder.has_shard(index):
            work("speech", index)
            texts = (item.text, item.response, "", "", item.split, "fake", "nobody")
            row = Utterance(f"{item.id}-0", item.id, 0, *texts, seed, digest(settings), 0.25, None, sound)
            folder.write_shard(index, [row], Utterance)
    folder.complete()


def connect(settings: Any, *, folder: Any, seed: int, log: Any) -> None:
    """A model folder of two files."""
    for index in range(2):
        work("connect", index)
        write_text(folder.path / "model" / f"part{index}.txt", digest(settings, seed, index))
    folder.complete()


def align(
    settings: Any,
    *,
    method: str,
    folder: Any,
    seed: int,
    model: Any,
    utterances: Any,
    teacher: str,
    teacher_system: str,
    task: Any,
    log: Any,
) -> None:
    """A model that depends on its base, its data and its method."""
    base = [p.read_text() for p in sorted(Path(model).glob("*.txt"))]
    start = digest(settings.lr, seed, base, utterances, teacher, teacher_system, task)
    for index in range(2):
        work(f"align/{folder.path.name}", index)
        log({"step": index, "loss": 1.0})
        write_text(folder.path / "model" / f"part{index}.txt", digest(method, start, index))
    write_text(folder.path / "model" / "README.md", f"# {method}\n")
    folder.complete()


def evaluate(
    settings: Any,
    *,
    folder: Any,
    seed: int,
    models: Any,
    utterances: Any,
    instructions: Any,
    teacher: str,
    teacher_system: str,
    task: Any,
    speech: Any,
    kinship: Any,
) -> None:
    """A score per model."""
    work("evaluation")
    weights = {name: [p.read_text() for p in sorted(Path(path).glob("*.txt"))] for name, path in models.items()}
    rows = [{"model": name, "value": digest(settings, seed, parts, utterances)} for name, parts in weights.items()]
    work("evaluation", 1)
    write_json(folder.path / "results.json", rows)
    folder.complete()


def write(workspace: Any, recipe: Any) -> Path:
    """A report of one line."""
    work("report")
    write_text(workspace.root / "report.html", f"<h1>{recipe.name}</h1>\n")
    return workspace.root / "report.html"


def print_table(path: Path) -> None:
    """One line in the table's place."""
    print(f"results of {path.name}")


def install() -> None:
    """Put the fakes in the place of the real stages, for the rest of the process."""
    rooms = {"synthesis": synthesize, "speech": speak, "connect": connect, "alignment": align, "evaluation": evaluate}
    for room, stage in rooms.items():
        _replace(f"rba.{room}.stage", run=stage)
    _replace("rba.report.page", write=write)
    _replace("rba.report.card", write=lambda workspace, recipe: [])
    _replace("rba.evaluation.results", print_table=print_table)


class FakeModule(types.ModuleType):
    """A module that stands for a real one."""


def _replace(name: str, **functions: Any) -> None:
    module = FakeModule(name)
    module.__dict__.update(functions)
    sys.modules[name] = module


if __name__ == "__main__":
    install()
    from rba.cli import main

    sys.exit(main())
