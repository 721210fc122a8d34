"""The synthesis stage: rounds of requests and answers until every split is full, each round a shard."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rba.cluster.settings import RaySettings
from rba.data import shards
from rba.data.instruction import Instruction
from rba.errors import DataError, TeacherError
from rba.lm.task import ENGLISH, NO_TASK, TaskSettings
from rba.progress import progress
from rba.services.service import is_service
from rba.synthesis.candidate import Candidate
from rba.synthesis.notes import dropped, summary
from rba.synthesis.rounds import Synthesiser
from rba.synthesis.settings import SynthesisSettings
from rba.synthesis.tags import Embedder
from rba.synthesis.texts import read_texts
from rba.teachers.teacher import Teacher
from rba.workspace import StageFolder

HOPELESS_AFTER = 6
SHARD_ROWS = 1000


def run(
    settings: SynthesisSettings,
    *,
    folder: StageFolder,
    seed: int,
    teacher: str,
    task: TaskSettings = NO_TASK,
    cluster: RaySettings | None = None,
) -> None:
    """Write the instructions of all splits into `folder` (rows: Instruction), and every round's candidates beside them.

    The teacher does the `task` with each request; on a `cluster`, several workers hold it and share the batches of a
    round. Killed and run again the stage goes on after the last whole round and ends with the same files. Raises
    TeacherError where the teacher's requests or answers are of no use, DataError where a file of texts cannot be read
    or is used up, ModelError where a model cannot be loaded, ClusterError for a cluster that does not do its part.
    """
    from rba.lm.embedder import SentenceEmbedder
    from rba.teachers.load import load_teacher
    from rba.teachers.spread import spread

    system = task.teaching(settings.answer_preamble)
    held: AbstractContextManager[Teacher | None]
    if settings.texts and all(given.response for given in read_texts(settings.texts)):
        held = nullcontext()  # there is nothing for a teacher to write
    elif cluster and not is_service(teacher):  # a server is asked from here: it is a cluster of its own
        held = spread(teacher, settings.batch, system, cluster, math.ceil(settings.shard_size / settings.batch))
    else:
        held = nullcontext(load_teacher(teacher, settings.batch, system))
    with held as loaded:
        synthesise(settings, folder, seed, loaded, SentenceEmbedder(settings.embedder), task.language)


def synthesise(
    settings: SynthesisSettings,
    folder: StageFolder,
    seed: int,
    teacher: Teacher | None,
    embedder: Embedder,
    language: str = ENGLISH,
) -> None:
    """The stage with its parts given: any `Teacher` (None where a file has all answers), any `Embedder`; answers are in
    `language`."""
    candidates = _all_rounds(settings, folder, Synthesiser(settings, seed, teacher, embedder, language))
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
            if not maker.has_round(index):
                raise _too_few(
                    candidates, settings, "ask for fewer in synthesis.train, validation and test, or add texts"
                )
            if index >= most or (index >= HOPELESS_AFTER and not kept):
                if maker.texts is None and maker.teacher:
                    raise _nothing_usable(maker.teacher.name, candidates, settings)
                raise _too_few(candidates, settings, "raise synthesis.attempts, or give texts of which more are kept")
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


def _too_few(candidates: list[Candidate], settings: SynthesisSettings, fix: str) -> DataError:
    what = f"{len(candidates)} texts make {_kept(candidates)} of {settings.wanted} instructions: {_reasons(candidates)}"
    return DataError(what, f"synthesis.texts {settings.texts}", fix)


def _kept(candidates: list[Candidate]) -> int:
    return sum(not c.reason for c in candidates)


def _reasons(candidates: list[Candidate]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in list(dropped(candidates).items())[:4]) or "none was dropped"


def _nothing_usable(teacher: str, candidates: list[Candidate], settings: SynthesisSettings) -> TeacherError:
    kept, reasons = _kept(candidates), _reasons(candidates)
    some = f"only {kept} of {settings.wanted} instructions" if kept else "nothing usable"
    fix = "choose an instruction-tuned teacher, cooler synthesis.temperatures, or more synthesis.attempts"
    return TeacherError(f"the teacher gave {some} in {len(candidates)} requests: {reasons}", f"teacher {teacher}", fix)
