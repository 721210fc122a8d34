"""The steps of a run: what each stage reads, what its output depends on, and the call that does its work."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rba import config
from rba.alignment.mix import check_task, speech_of, with_mixed
from rba.alignment.objectives import available, sections
from rba.alignment.variants import resolve, trained
from rba.files import local
from rba.inputs import given, is_url
from rba.lm.task import NO_TASK
from rba.models import SHIPPED, shipped_folder
from rba.recipe import CONNECT, Recipe
from rba.rewards.custom import code_hashes
from rba.services.mark import llm_mark
from rba.speech.engine import engine_hash, model_of
from rba.weights.mark import file_mark
from rba.workspace import StageFolder, Workspace, file_hash, fingerprint

_VERSIONS = {"synthesize": 1, "speak": 1, "connect": 1, "align": 6, "evaluate": 3}
"""Raised when a stage's output changes for the same settings: results of older versions are then made again."""

_ROWS = 5
"""Raised when the evaluation makes other rows of the same answers, which then stay."""

_GATE = 2
"""Raised when the gate lets other speech pass: only runs with a gate are then spoken again."""

_PEOPLE = 2
"""Raised when reference clips give other voices: only runs with references are then spoken again."""

_NEUTRAL = frozenset(
    {"workers", "checkpoint", "checkpoint_minutes", "gradient_checkpointing", "features_in_memory", "sharding"}
)
"""Settings that change how fast a stage is, never what it makes."""
_JUDGING = frozenset(
    {"judges", "opponents", "judge", "reward_model", "slow_judge_instructions", "resamples", "embedder"}
)
"""Settings of the evaluation that compare answers: the answers themselves stay when they change."""


@dataclass(frozen=True)
class Step:
    """One stage of a run: its folder's `name`, the `verb` that runs it alone, its own `facts`, and what it reads.

    `shards` are those of its facts that its shards depend on, where not all of them do.
    """

    name: str
    verb: str
    facts: tuple[Any, ...]
    needs: tuple[str, ...]
    work: Callable[[StageFolder], None]
    shards: tuple[Any, ...] = ()

    def mark(self, workspace: Workspace) -> str:
        """The fingerprint under which the step's output is current."""
        return self._mark(workspace, self.facts)

    def shards_mark(self, workspace: Workspace) -> str:
        """The fingerprint under which its shards are current; empty where that is the step's own."""
        return self._mark(workspace, self.shards) if self.shards else ""

    def _mark(self, workspace: Workspace, facts: tuple[Any, ...]) -> str:
        inputs = [workspace.stage(name).output_hash() for name in self.needs]
        return fingerprint(_VERSIONS[self.verb], self.name, facts, inputs)


def plan(recipe: Recipe, workspace: Workspace) -> list[Step]:
    """The steps of a recipe in their order; the connect step only where the recipe starts from its connector."""
    seed, teacher, base = recipe.seed, _model_mark(recipe.teacher), _model_mark(recipe.model)
    start = ("connect",) if recipe.model == CONNECT else ()
    parts = tuple(
        _model_mark(name) for name in (recipe.connect.encoder, recipe.connect.llm, recipe.connect.start) if name
    )
    connector = (_shipped_mark(), *parts, [file_mark(given(name)) for name in recipe.connect.corpus.files])
    judging = {key: _model_mark(getattr(recipe.evaluate, key)) for key in ("judge", "reward_model", "cascade")}
    gating = {"gate_asr": _model_mark(recipe.speech.gate_asr)} | ({"gate": _GATE} if recipe.speech.gate else {})
    aligned = {name: f"align/{name}" for name in trained(recipe.align)}
    for run in recipe.align.mix:
        check_task(run, recipe.task.prompt)
    mixed = [speech_of(run).output_hash() for run in recipe.align.mix]

    told = [recipe.task.prompt] if recipe.task.prompt else []  # marks of runs without a task hold nothing of it
    source = given(recipe.synthesis.texts)
    texts = [file_hash(source)] if recipe.synthesis.texts and source.is_file() else []
    voices = [_input_mark(recipe.speech.references), _path_mark(recipe.speech.engine.partition(":")[2])]
    voices += [*_own_engine(recipe.speech.engine), *([_PEOPLE] if recipe.speech.references else [])]

    measured = _facts(recipe.evaluate) | judging
    answered = {key: value for key, value in measured.items() if key not in _JUDGING}
    asked = (teacher, base, [*aligned], *_benchmark_facts(recipe), *_condition_facts(recipe), *_asked(recipe))

    def step(
        name: str,
        verb: str,
        facts: tuple[Any, ...],
        needs: tuple[str, ...],
        work: Callable[..., None],
        shards: tuple[Any, ...] = (),
    ) -> Step:
        own = (*shards, seed) if shards else ()
        return Step(name, verb, (*facts, seed), needs, partial(work, recipe, workspace), own)

    return [
        step("synthesis", "synthesize", (_facts(recipe.synthesis), teacher, *texts, *_taught(recipe)), (), _synthesize),
        step("speech", "speak", (_facts(recipe.speech) | gating, voices), ("synthesis",), _speak),
        *(step(name, "connect", (_facts(recipe.connect), connector), (), _connect) for name in start),
        *(
            step(
                stage,
                "align",
                (*_align_facts(recipe, name), teacher, base, mixed, *told),
                ("speech", *start),
                partial(_align, name),
            )
            for name, stage in aligned.items()
        ),
        step(
            "evaluation",
            "evaluate",
            (measured, _ROWS, *asked),
            ("synthesis", "speech", *start, *aligned.values()),
            _evaluate,
            (answered, *asked),
        ),
    ]


def base_model(recipe: Recipe, workspace: Workspace) -> Path | str:
    """The SpeechLM that alignment starts from: the recipe's, or the one that the connect stage made."""
    return workspace.stage("connect").path / "model" if recipe.model == CONNECT else recipe.model


def _facts(settings: Any) -> dict[str, Any]:
    """A section's settings, less those that do not change its output, and the state of the embedder that it names."""
    facts = {k: v for k, v in config.to_tree(settings).items() if k not in _NEUTRAL}
    return facts | ({"embedder": _model_mark(facts["embedder"])} if "embedder" in facts else {})


def _align_facts(recipe: Recipe, name: str) -> tuple[Any, ...]:
    """The method and what it reads of its settings, and the state of the code and models that they name."""
    method, settings = resolve(recipe.align, name)
    others = {section for other in available() for section in sections(other)} - set(sections(method))
    facts = {k: v for k, v in _facts(settings).items() if k not in ("methods", "variants", *others)}
    models = ("judge", "reward_model", "token_teacher", "rollout_server")
    facts |= {key: _model_mark(facts[key]) if facts[key] else "" for key in models}
    return method, facts, code_hashes(settings.reward)


def _taught(recipe: Recipe) -> list[Any]:
    """What the task changes in the teacher's answers: nothing where the teacher has a system turn in its place."""
    own, told = recipe.synthesis.answer_preamble, recipe.teacher_preamble
    changed = [told.system, told.before, told.after] if told != own else []
    return [*changed, recipe.task.language] if changed or recipe.task.translates else []


def _asked(recipe: Recipe) -> list[Any]:
    """The task as evaluation asks and scores it."""
    return [] if recipe.task == NO_TASK else [recipe.task.prompt, recipe.task.language]


def _benchmark_facts(recipe: Recipe) -> list[Any]:
    """The state of the benchmarks' local data, what says those that come as text, and what leaves relatives out."""
    if not recipe.evaluate.benchmarks:
        return []
    marks = [_input_mark(benchmark.source) for benchmark in recipe.evaluate.benchmarks]
    speakers = _input_mark(recipe.speech.references)
    apart = (_model_mark(recipe.synthesis.embedder), recipe.synthesis.split_distance)
    return [marks, recipe.speech.engine, recipe.speech.speakers, speakers, *_own_engine(recipe.speech.engine), apart]


def _condition_facts(recipe: Recipe) -> list[Any]:
    """The state of the engine that says the condition "engine", where that is the user's own or a model's files."""
    engine = recipe.evaluate.conditions.engine
    if "engine" not in recipe.evaluate.conditions.names:
        return []
    model = model_of(engine)
    return [*([_path_mark(model)] if model else []), *_own_engine(engine)]


def _own_engine(engine: str) -> list[str]:
    """The state of an engine of the user's own; nothing for the package's."""
    digest = engine_hash(engine)
    return [digest] if digest else []


def _model_mark(name: str) -> str:
    """What stands for a model in a fingerprint: its name, and the state of its files where it is a local folder."""
    if name == CONNECT:
        return name
    if name == SHIPPED:
        return _shipped_mark()
    return llm_mark(name)


def _input_mark(name: str) -> Any:
    """As `_path_mark`, for data that may lie behind a URL: the state of their copy."""
    return _path_mark(str(given(name)) if is_url(name) else name)


def _path_mark(name: str) -> Any:
    """As `_model_mark`, for what may also be a single file."""
    path = local(name)
    return file_mark(path) if path.is_file() else _model_mark(name)


def _shipped_mark() -> str:
    """The state of the connector in the package: a new one makes what was built on it out of date."""
    return fingerprint([(p.name, file_hash(p)) for p in sorted(shipped_folder().glob("*")) if p.is_file()])


def _stage(room: str) -> Callable[..., None]:
    """A room's `run`, imported when its turn has come: most of them load torch."""
    return importlib.import_module(f"rba.{room}.stage").run


def _synthesize(recipe: Recipe, workspace: Workspace, folder: StageFolder) -> None:
    _stage("synthesis")(
        recipe.synthesis,
        folder=folder,
        seed=recipe.seed,
        teacher=recipe.teacher,
        task=recipe.task,
        cluster=recipe.cluster,
    )


def _speak(recipe: Recipe, workspace: Workspace, folder: StageFolder) -> None:
    _stage("speech")(
        recipe.speech, folder=folder, seed=recipe.seed, instructions=_instructions(workspace), cluster=recipe.cluster
    )


def _connect(recipe: Recipe, workspace: Workspace, folder: StageFolder) -> None:
    _stage("connect")(recipe.connect, folder=folder, seed=recipe.seed, log=partial(workspace.log, "connect"))


def _align(name: str, recipe: Recipe, workspace: Workspace, folder: StageFolder) -> None:
    method, settings = resolve(recipe.align, name)
    _stage("alignment")(
        settings,
        method=method,
        folder=folder,
        seed=recipe.seed,
        model=base_model(recipe, workspace),
        utterances=with_mixed(_utterances(workspace), recipe.align.mix),
        teacher=recipe.teacher,
        teacher_system=recipe.teacher_preamble,
        task=recipe.task,
        log=partial(workspace.log, f"align/{name}"),
    )


def _evaluate(recipe: Recipe, workspace: Workspace, folder: StageFolder) -> None:
    from rba.evaluation.relatives import Kinship

    aligned = {name: workspace.stage(f"align/{name}").path / "model" for name in trained(recipe.align)}
    _stage("evaluation")(
        recipe.evaluate,
        folder=folder,
        seed=recipe.seed,
        models={"base": base_model(recipe, workspace), **aligned},
        utterances=with_mixed(_utterances(workspace), recipe.align.mix),
        instructions=_instructions(workspace),
        teacher=recipe.teacher,
        teacher_system=recipe.teacher_preamble,
        task=recipe.task,
        speech=recipe.speech,
        kinship=Kinship(recipe.synthesis.embedder, recipe.synthesis.split_distance),
    )


def _instructions(workspace: Workspace) -> list[Any]:
    from rba.data.instruction import Instruction

    return workspace.stage("synthesis").read(Instruction)


def _utterances(workspace: Workspace) -> list[Any]:
    from rba.data.utterance import Utterance

    return workspace.stage("speech").read(Utterance)
