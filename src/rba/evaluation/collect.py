"""Collecting answers: the work of the stage cut into shards, each model loaded once, finished shards kept."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from rba import runtime
from rba.data.seeds import derive
from rba.data.utterance import Utterance
from rba.evaluation import answers as ask
from rba.evaluation.answers import Answer
from rba.evaluation.benchmarks.load import Benchmark
from rba.evaluation.features import FeatureCache, decode_all
from rba.evaluation.listening import is_typed
from rba.evaluation.selection import first_voices
from rba.evaluation.settings import EvaluateSettings
from rba.lm.preamble import System
from rba.lm.sampling import Sampling
from rba.progress import Progress, progress
from rba.workspace import StageFolder

CASCADE, TEXT, TEACHER, AGAIN = "cascade", "text", "teacher", "teacher-again"


@dataclass(frozen=True)
class Job:
    """One shard: the answers of `model` to `utterances`, made with the checkpoint `loads` ("" : the teacher).

    `asked` is the benchmark that the utterances belong to, None for the recipe's own test set.
    """

    index: int
    model: str
    loads: str
    utterances: tuple[Utterance, ...]
    asked: Benchmark | None = None

    @property
    def systems(self) -> list[System]:
        """What stands before and around each utterance; empty for the recipe's own, whose task the models know."""
        return [self.asked.system(u.instruction_id) for u in self.utterances] if self.asked else []


@dataclass(frozen=True)
class Loaders:
    """How models come into memory; tests put their own here."""

    speechlm: Callable[[Any], Any]
    transcriber: Callable[[], Any]
    teacher: Callable[[], Any]
    embedder: Callable[[], Any]
    judge: Callable[[], Any] | None = None  # the LLM that compares answers; None: the teacher, told nothing
    reward_model: Callable[[], Any] | None = None  # that of the judge of that name


def plan(
    models: Mapping[str, Any],
    utterances: Sequence[Utterance],
    settings: EvaluateSettings,
    seed: int,
    elsewhere: Sequence[Utterance] = (),
    benchmarks: Sequence[Benchmark] = (),
) -> list[Job]:
    """All shards in their order, a pure function of its arguments.

    The cascade, the typed ceiling and the teacher's stored answers come with the first of `models` (the base): it is
    their LLM and their tokenizer. `elsewhere` are the same requests under other listening conditions: only models that
    hear answer them again. To a benchmark the teacher answers itself.
    """
    base, typed = next(iter(models)), first_voices(utterances)
    again = sorted(typed, key=lambda u: derive(seed, "again", u.instruction_id))[: settings.teacher_again]
    heard = [*utterances, *elsewhere]

    def asked(model: str, loads: str) -> list[_Work]:
        return [(model, loads, b.utterances, b) for b in benchmarks]

    work: list[_Work] = [(CASCADE, base, heard, None), *asked(CASCADE, base)] if settings.cascade else []
    work += [(base, base, heard, None), (TEXT, base, typed, None), (TEACHER, base, typed, None)]
    work += [*asked(base, base), *asked(TEXT, base)]
    for name in models:
        if name != base:
            work += [(name, name, heard, None), *asked(name, name)]
    work += [(AGAIN, "", again, None), *asked(TEACHER, "")]
    size = settings.shard_size
    cut = [(m, loads, rows[i : i + size], b) for m, loads, rows, b in work for i in range(0, len(rows), size)]
    return [Job(index, m, loads, tuple(rows), b) for index, (m, loads, rows, b) in enumerate(cut)]


_Work = tuple[str, str, Sequence[Utterance], "Benchmark | None"]


def collect(
    jobs: Sequence[Job],
    models: Mapping[str, str | Path],
    texts: Mapping[str, str],
    settings: EvaluateSettings,
    folder: StageFolder,
    seed: int,
    loaders: Loaders,
) -> None:
    """Write the shards of `jobs` that `folder` lacks.

    `texts` are the typed instructions by id. Utterances that cannot be decoded get no answer; the note "dropped" says
    why.
    """
    missing = [job for job in jobs if not folder.has_shard(job.index)]
    cache = FeatureCache(folder.path / ".features")
    with progress("answers", sum(len(job.utterances) for job in missing)) as bar:
        for loads, group in groupby(missing, key=lambda job: job.loads):
            if loads:
                worker: Any = _SpeechWorker(loaders.speechlm(models[loads]), texts, settings, seed, cache, loaders)
            else:
                worker = _TeacherWorker(loaders.teacher(), texts, settings, seed)
            _run(worker, group, folder, cache, bar)
            del worker
            gc.collect()
    cache.clear()


def _run(worker: Any, jobs: Any, folder: StageFolder, cache: FeatureCache, bar: Progress) -> None:
    for job in jobs:
        rows = worker.answer(job)
        if cache.refused:
            folder.note("dropped", {**folder.notes.get("dropped", {}), **cache.refused})
        folder.write_shard(job.index, rows, Answer)
        bar.advance(len(job.utterances), job.model)
        runtime.give_back()


class _SpeechWorker:
    """Answers with one SpeechLM in memory, in each of the ways that it can be asked."""

    def __init__(self, speechlm: Any, texts: Mapping[str, str], settings: Any, seed: int, cache: Any, loaders: Loaders):
        self.speechlm, self.texts, self.settings, self.seed = speechlm, texts, settings, seed
        self.cache, self.loaders = cache, loaders
        self._transcriber: Any = None

    def answer(self, job: Job) -> list[Answer]:
        sampling = job.asked.sampling if job.asked else self.settings.answer
        common = (sampling, self.seed, self.settings.batch)
        systems = dict(zip((u.id for u in job.utterances), job.systems))
        if job.model == TEACHER:
            return [self._stored(u) for u in job.utterances]
        if job.model == TEXT:
            texts = self._words(job.utterances)
            rows = ask.answer_typed(self.speechlm, TEXT, job.utterances, texts, *common, job.systems)
            return [ask.read(TEXT, u, r.text, r.tokens, r.finished) for u, r in zip(job.utterances, rows)]
        typed = [u for u in job.utterances if is_typed(u)]
        spoken = [u for u in job.utterances if not is_typed(u)]
        heard = self._transcribe(spoken) if job.model == CASCADE else self.cache.get(self.speechlm, spoken)
        known = [u for u in spoken if u.id in heard]
        turns = [systems[u.id] for u in known if systems]
        answer: Any = ask.answer_typed if job.model == CASCADE else ask.answer_speech
        found = answer(self.speechlm, job.model, known, [heard[u.id] for u in known], *common, turns) if known else []
        if job.model == CASCADE:
            found = [replace(row, heard=heard[row.utterance_id]) for row in found]
        return found + (ask.answer_typed(self.speechlm, job.model, typed, self._words(typed), *common) if typed else [])

    def _words(self, utterances: Sequence[Utterance]) -> list[str]:
        return [self.texts.get(u.instruction_id, u.text) for u in utterances]

    def _stored(self, utterance: Utterance) -> Answer:
        ids = self.speechlm.lm.tokenizer(utterance.response, add_special_tokens=False)["input_ids"]
        return ask.read(TEACHER, utterance, utterance.response, len(ids) + 1)

    def _transcribe(self, utterances: Sequence[Utterance]) -> dict[str, str]:
        self._transcriber = self._transcriber or self.loaders.transcriber()
        waves = decode_all(utterances, self.cache.refused)
        return dict(zip(waves, self._transcriber.transcribe(list(waves.values())))) if waves else {}


class _TeacherWorker:
    """The teacher answers again, or the items of a benchmark, whose own system turn it reads above the request."""

    def __init__(self, teacher: Any, texts: Mapping[str, str], settings: EvaluateSettings, seed: int):
        self.teacher, self.texts, self.settings, self.seed = teacher, texts, settings, seed

    def answer(self, job: Job) -> list[Answer]:
        if job.asked:
            return self._asked(job, job.asked.sampling)
        texts = [self.texts.get(u.instruction_id, u.text) for u in job.utterances]
        seeds = [derive(self.seed, "again", u.instruction_id) for u in job.utterances]
        replies = self.teacher.replies(texts, self.settings.again, seeds)
        return [ask.read(AGAIN, u, r.text, 0, r.finished) for u, r in zip(job.utterances, replies)]

    def _asked(self, job: Job, sampling: Sampling) -> list[Answer]:
        assert job.asked
        own = [job.asked.own_system(u.instruction_id) for u in job.utterances]
        texts = ["\n\n".join(filter(None, (turn, u.text))) for turn, u in zip(own, job.utterances)]
        seeds = [derive(self.seed, "answer", u.id) for u in job.utterances]
        # the teacher's own turn holds the task that such a benchmark sets aside
        teacher = self.teacher.told("") if job.asked.asks_otherwise else self.teacher
        replies = teacher.replies(texts, sampling, seeds)
        return [ask.read(TEACHER, u, r.text, 0, r.finished) for u, r in zip(job.utterances, replies)]
