"""The evaluation stage: every model's answers to held-out speech, and `results.json`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rba.data.instruction import Instruction
from rba.data.utterance import Utterance
from rba.evaluation import metrics
from rba.evaluation.answers import Answer
from rba.evaluation.benchmarks.load import Benchmark, load
from rba.evaluation.benchmarks.open_cells import open_cells
from rba.evaluation.benchmarks.rows import rows
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.evaluation.benchmarks.translation import signatures, target_of
from rba.evaluation.bootstrap import Bootstrap
from rba.evaluation.cells import Cells, lay_out
from rba.evaluation.collect import Loaders, collect, plan
from rba.evaluation.contests import quick_win_rates, win_rates
from rba.evaluation.disturbances import ALL, masks
from rba.evaluation.judge import load_judge
from rba.evaluation.leak import Trained, check_leaks, heard_by, unheard
from rba.evaluation.reading import ReadingJudge
from rba.evaluation.relatives import NO_KINSHIP, Kinship, Relatives
from rba.evaluation.rendering import render_conditions
from rba.evaluation.results import FILE, Result, write_results
from rba.evaluation.scores import RememberingEmbedder
from rba.evaluation.selection import TEST, held_out
from rba.evaluation.settings import SLOW_JUDGES, EvaluateSettings
from rba.evaluation.topics import topic_rows
from rba.evaluation.translations import translation_rows
from rba.lm.preamble import System
from rba.lm.task import NO_TASK, TaskSettings
from rba.progress import progress
from rba.services.mark import llm_mark
from rba.speech.settings import SpeechSettings
from rba.workspace import StageFolder

VERDICTS = "verdicts"
"""What judges with an LLM said, in the stage's folder."""


def run(
    settings: EvaluateSettings,
    *,
    folder: StageFolder,
    seed: int,
    models: Mapping[str, str | Path],
    utterances: Sequence[Utterance],
    instructions: Sequence[Instruction],
    teacher: str,
    teacher_system: System = "",
    task: TaskSettings = NO_TASK,
    speech: SpeechSettings | None = None,
    kinship: Kinship = NO_KINSHIP,
    loaders: Loaders | None = None,
) -> None:
    """Evaluate `models` (name: checkpoint; the first is the base) on the test utterances.

    `folder`, opened by the caller, gets `Answer` shards and `results.json`; finished shards are kept, so a stopped
    stage goes on where it was. Beside the models answer their base's LLM reading the text ("text"), a recogniser in
    front of it ("cascade"), all of them told the `task`, and the teacher, under `teacher_system`. Answers in another
    language are scored as translations, too. Conditions and benchmarks that come as text are spoken as `speech` says;
    items of benchmarks that are trained texts, or by `kinship` their relatives, are left out.
    Raises DataError where there is nothing to test or test data leak into training, ModelError where a model cannot be
    loaded.
    """
    (folder.path / FILE).unlink(missing_ok=True)  # of other judges, where the answers have stayed
    test = [u for u in utterances if u.split == TEST]
    base = next(iter(models.values()))
    new = unheard(test, base)
    folder.note("known_to_the_connector", len({u.instruction_id for u in test} - {u.instruction_id for u in new}))
    chosen = held_out(new, settings.instructions, settings.voices, seed)
    check_leaks(chosen, utterances, instructions)
    texts = {i.id: i.text for i in instructions}
    loaders = _telling(loaders or standard_loaders(settings, teacher, teacher_system), task)
    loaders = replace(loaders, embedder=cache(loaders.embedder))
    speech = speech or SpeechSettings()
    elsewhere, unsaid = render_conditions(settings.conditions, chosen, folder.path / "conditions", seed, speech)
    trained = Trained([*instructions, *utterances], heard_by(base))
    near = _relatives([*instructions, *utterances], kinship, settings.embedder, loaders.embedder).among
    benchmarks = load_benchmarks(settings.benchmarks, speech, folder, seed, trained, task, near)
    unsaid |= {name: reason for benchmark in benchmarks for name, reason in benchmark.refused.items()}
    folder.note("unsaid", unsaid)
    jobs = plan(models, chosen, settings, seed, elsewhere, benchmarks)
    collect(jobs, models, texts, settings, folder, seed, loaders)
    answers = folder.read(Answer)
    folder.note("answers", dict(Counter(answer.model for answer in answers)))
    cells = lay_out(chosen, answers, texts)
    folder.note("compared", {"utterances": len(cells.utterances), "instructions": cells.n})
    embedder = RememberingEmbedder(loaders.embedder)
    mark = llm_mark(settings.judge or teacher)
    found = measure(cells, settings, seed, loaders, embedder, task, folder.path / VERDICTS, mark, folder.note)
    if elsewhere:
        found += _condition_rows(lay_out(elsewhere, answers, texts), settings, seed, embedder, task)
    for benchmark in benchmarks:
        found += _benchmark_rows(benchmark, answers, settings, seed, embedder)
    write_results(folder.path / FILE, found)
    folder.complete()


def load_benchmarks(
    wanted: Sequence[BenchmarkSettings],
    speech: SpeechSettings,
    folder: StageFolder,
    seed: int,
    trained: Container[str],
    task: TaskSettings = NO_TASK,
    related: Callable[[Sequence[str]], Container[str]] = lambda texts: (),
) -> list[Benchmark]:
    """The benchmarks with their speech, less items whose text is among the `trained` ones or `related` to one.

    Notes how BLEU and chrF are computed where they are, in the run's own test of a `task` that translates, too.
    """
    found = [load(one, speech, folder.path / "benchmarks" / one.name, seed, trained, task, related) for one in wanted]
    signed = {b.settings.name: signatures(target_of(b.settings)) for b in found if b.scorer == "translation"}
    if task.translates:
        signed[metrics.BENCHMARK] = signatures(task.language)
    if signed:
        folder.note("signatures", signed)
    return found


def _relatives(
    rows: Sequence[Instruction | Utterance], kinship: Kinship, name: str, load: Callable[[], Any]
) -> Relatives:
    """What finds relatives of the rows: with the embedder `name`, which `load` gives, or with another of its own."""

    def other():
        from rba.lm.embedder import SentenceEmbedder

        return SentenceEmbedder(kinship.embedder)

    return Relatives(rows, kinship.distance, load if kinship.embedder == name else other)


def measure(
    cells: Cells,
    settings: EvaluateSettings,
    seed: int,
    loaders: Loaders,
    embedder: RememberingEmbedder,
    task: TaskSettings = NO_TASK,
    kept: Path | None = None,
    mark: str = "",
    note: Callable[[str, Any], None] = lambda key, value: None,
) -> list[Result]:
    """All result rows of the answers in `cells`; judges with an LLM use `kept` and `mark` as `load_judge` does.

    How many of their verdicts could not be read is noted, and told in a line.
    """
    unread: dict[str, dict[str, int]] = {}
    with progress("scores", 1 + len(settings.judges)) as bar:
        sheet = metrics.make_sheet(cells, embedder, settings.resamples, seed, settings.opponents)
        made = [*metrics.rows(sheet, embedder), *topic_rows(sheet, settings, embedder)]
        if task.translates:
            made += translation_rows(sheet, masks(cells.utterances), task.language)
        bar.advance()
        teacher = cache(loaders.teacher)
        reader = cache(loaders.judge) if loaders.judge else lambda: teacher().told("")
        readers = {"teacher": teacher, "embedder": embedder, "judge": reader, "reward_model": loaders.reward_model}
        for name in settings.judges:
            judge = load_judge(name, **readers, task=task, kept=kept, mark=mark)
            limit = settings.slow_judge_instructions if name in SLOW_JUDGES else 0
            made += win_rates(sheet, judge, settings.opponents, limit)
            if isinstance(judge, ReadingJudge) and judge.unread["unread"]:
                unread[name] = judge.unread
            bar.advance(1, name)
    note("unread_verdicts", unread)
    for name, count in unread.items():
        told = f"rba: judge {name}: {count['unread']} of {count['asked']} verdicts could not be read and are left out"
        print(f"{told}; name an LLM in evaluate.judge that replies as it is asked", file=sys.stderr, flush=True)
    return made


def _condition_rows(
    cells: Cells, settings: EvaluateSettings, seed: int, embedder: RememberingEmbedder, task: TaskSettings
) -> Iterator[Result]:
    """The rows of every listening condition, from the answers to the test requests under all of them."""
    sheet = metrics.make_sheet(cells, embedder, settings.resamples, seed)
    sheet.benchmark = metrics.ROBUSTNESS
    yield from metrics.robustness_rows(sheet, settings.conditions.names)
    members = metrics.members_of(cells.utterances, settings.conditions.names)
    yield from quick_win_rates(sheet, settings, embedder, members)
    if task.translates:
        yield from translation_rows(sheet, members, task.language)


def _benchmark_rows(
    benchmark: Benchmark, answers: Sequence[Answer], settings: EvaluateSettings, seed: int, embedder: Any
) -> Iterator[Result]:
    """The rows of a benchmark's scorer; of open answers win rates, too."""
    made = rows(benchmark, answers, settings.resamples, seed)
    yield from made
    if made and benchmark.scorer == "open":
        cells = open_cells(benchmark, answers)
        resampled = Bootstrap(cells.n, settings.resamples, seed)
        sheet = metrics.Sheet(cells, resampled, {}, seed, benchmark.settings.name)
        yield from quick_win_rates(sheet, settings, embedder, {ALL: np.ones(len(cells.utterances), dtype=bool)})


def _telling(loaders: Loaders, task: TaskSettings) -> Loaders:
    """The same, whose SpeechLMs are told the task."""
    from rba.models.told import told

    load = loaders.speechlm
    return replace(loaders, speechlm=lambda name: told(load(name), task.prompt)) if task.prompt else loaders


def standard_loaders(settings: EvaluateSettings, teacher: str, teacher_system: System = "") -> Loaders:
    """The package's own models, each imported when it is first needed."""

    def speechlm(name: str | Path):
        from rba.models.adapters import for_inference
        from rba.models.load import load_speechlm

        return for_inference(load_speechlm(name, settings.dtype))

    def transcriber():
        from rba.speech.recogniser import load_recogniser

        return load_recogniser(settings.cascade)

    def load_teacher():
        from rba.teachers.load import load_teacher

        return load_teacher(teacher, system=teacher_system)

    def judge():
        from rba.teachers.load import load_teacher

        return load_teacher(settings.judge)

    def embedder():
        from rba.lm.embedder import SentenceEmbedder

        return SentenceEmbedder(settings.embedder)

    def reward_model():
        from rba.lm.reward_model import load_reward_model

        return load_reward_model(settings.reward_model, settings.dtype)

    return Loaders(speechlm, transcriber, load_teacher, embedder, judge if settings.judge else None, reward_model)
