"""The synthesis stage: rounds of requests and answers until every split is full, each round a shard."""

from __future__ import annotations

import math
from pathlib import Path

from rba.data import shards
from rba.data.instruction import Instruction
from rba.errors import TeacherError
from rba.progress import progress
from rba.synthesis.candidate import Candidate
from rba.synthesis.notes import dropped, summary
from rba.synthesis.rounds import Synthesiser
from rba.synthesis.settings import SynthesisSettings
from rba.synthesis.tags import Embedder
from rba.teachers.teacher import Teacher
from rba.workspace import StageFolder

HOPELESS_AFTER = 6
SHARD_ROWS = 1000


def run(settings: SynthesisSettings, *, folder: StageFolder, seed: int, teacher: str) -> None:
    """Write the instructions of all splits into `folder` (rows: Instruction), and every round's candidates beside them.

    Killed and run again it goes on after the last whole round and ends with the same files. Raises TeacherError where
    the teacher's requests or answers are of no use, ModelError where a model cannot be loaded.
    """
    from rba.lm.embedder import SentenceEmbedder
    from rba.teachers.load import load_teacher
    from rba.teachers.server import ServerTeacher

    loaded = load_teacher(teacher, settings.batch, settings.answer_preamble)
    synthesise(settings, folder, seed, loaded, SentenceEmbedder(settings.embedder))
    if isinstance(loaded, ServerTeacher):
        print(f"synthesis: {loaded.client.usage.line(loaded.service)}", flush=True)


def synthesise(
    settings: SynthesisSettings, folder: StageFolder, seed: int, teacher: Teacher, embedder: Embedder
) -> None:
    """The stage with its parts given: any `Teacher`, any `Embedder`."""
    candidates = _all_rounds(settings, folder, Synthesiser(settings, seed, teacher, embedder))
    instructions = [c.instruction() for c in candidates if not c.reason]
    for start in range(0, len(instructions), SHARD_ROWS):
        folder.write_shard(start // SHARD_ROWS, instructions[start : start + SHARD_ROWS], Instruction)
    for key, value in summary(candidates).items():
        folder.note(key, value)
    folder.complete()


def _all_rounds(settings: SynthesisSettings, folder: StageFolder, maker: Synthesiser) -> list[Candidate]:
    """Every candidate of every round, read where a round is finished and made where it is not."""
    for partial in folder.path.glob("rounds/.*.partial"):
        partial.unlink()
    candidates: list[Candidate] = []
    index, most = 0, math.ceil(settings.attempts * settings.wanted / settings.shard_size)
    with progress("synthesize", settings.wanted) as bar:
        while not maker.splitter.done:
            kept = len(maker.kept.labels)
            if index >= most or (index >= HOPELESS_AFTER and not kept):
                raise _nothing_usable(maker.teacher.name, candidates, settings)
            candidates += _round(folder.path / "rounds" / f"round-{index:05d}.parquet", index, maker)
            bar.advance(len(maker.kept.labels) - kept, f"{len(candidates)} drawn")
            index += 1
    return candidates


def _round(path: Path, index: int, maker: Synthesiser) -> list[Candidate]:
    if path.is_file():
        candidates = shards.read(path, Candidate)
        maker.remember(candidates)
        return candidates
    candidates = maker.make(index)
    shards.write(path, candidates, Candidate)
    return candidates


def _nothing_usable(teacher: str, candidates: list[Candidate], settings: SynthesisSettings) -> TeacherError:
    kept = sum(not c.reason for c in candidates)
    reasons = ", ".join(f"{n} {reason}" for reason, n in list(dropped(candidates).items())[:4])
    some = f"only {kept} of {settings.wanted} instructions" if kept else "nothing usable"
    fix = "choose an instruction-tuned teacher, cooler synthesis.temperatures, or more synthesis.attempts"
    return TeacherError(f"the teacher gave {some} in {len(candidates)} requests: {reasons}", f"teacher {teacher}", fix)
