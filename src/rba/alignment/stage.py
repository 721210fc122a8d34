"""The align stage: one SpeechLM, one method, one checkpoint folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rba import config, parallel
from rba.alignment.adapt import adapt
from rba.alignment.card import model_card, tidy_adapter
from rba.alignment.drift import DriftProbe
from rba.alignment.objectives.objective import Objective, load_objective
from rba.alignment.prepare import SHARED, Prepared, model_mark, prepare
from rba.alignment.reward import reward_loader, reward_mark, rewards
from rba.alignment.rollout import Reward, Rollouts
from rba.alignment.sampler import load_sampler
from rba.alignment.settings import AlignSettings
from rba.alignment.token_teacher import TokenTeacher, load_token_teacher
from rba.alignment.trainer import Outcome, Trainer
from rba.alignment.validation import Validator
from rba.alignment.variants import SAMPLED_BY
from rba.data.utterance import Utterance
from rba.errors import ModelError
from rba.files import settle
from rba.lm import quantization
from rba.lm.number_format import pick_device
from rba.lm.preamble import System
from rba.lm.recompute import check_recomputed
from rba.lm.scoring import backbone
from rba.lm.sharding import check, shard
from rba.lm.task import NO_TASK, TaskSettings
from rba.models.adapters import has_lora
from rba.models.heard import carry_heard
from rba.models.speechlm import SpeechLM
from rba.models.told import task_of, told
from rba.services.mark import llm_mark
from rba.workspace import StageFolder, fingerprint, keep_only

CHECKPOINTS = "checkpoints"


def run(
    settings: AlignSettings,
    *,
    method: str,
    folder: StageFolder,
    seed: int,
    model: Path | str,
    utterances: list[Utterance],
    teacher: str,
    teacher_system: System = "",
    task: TaskSettings = NO_TASK,
    log: Callable[[dict[str, Any]], None],
) -> None:
    """Align the SpeechLM `model` with `method` and write `model/`, a checkpoint folder with a model card.

    The SpeechLM is told its `task` with all that it is asked; where that is empty, one that has a task keeps it.
    The teacher of rewards and of token distributions reads under `teacher_system`, as it answered.

    A stopped run goes on from its own checkpoint, also with another number of processes (`rba.parallel`); the leader
    alone writes. Raises ModelError for a model that does not listen, DataError where
    there is nothing to train on.
    """
    from rba.models.load import load_speechlm

    check(settings.sharding)
    quantization.check(settings.quantize)
    with parallel.leader_first():  # it may have to fetch weights
        device = None if settings.sharding == "none" else torch.device("cpu")
        speechlm = told(load_speechlm(model, settings.dtype, device, settings.quantize), task.prompt)
    align(
        speechlm,
        settings,
        method=method,
        folder=folder,
        seed=seed,
        utterances=utterances,
        reward=reward_loader(settings, teacher, teacher_system, task),
        mark=model_mark(model) + ("" if settings.quantize == "none" else settings.quantize),
        teacher=teacher,
        teacher_system=teacher_system,
        log=log,
    )


def align(
    speechlm: SpeechLM,
    settings: AlignSettings,
    *,
    method: str,
    folder: StageFolder,
    seed: int,
    utterances: Sequence[Utterance],
    reward: Callable[..., Reward],
    mark: str = "",
    teacher: str = "",
    teacher_system: System = "",
    log: Callable[[dict[str, Any]], None] = lambda record: None,
) -> Outcome:
    """`run` with a SpeechLM and a loader of the reward at hand. Trains `speechlm` in place.

    `mark` identifies the model: what was computed from it is shared by the methods of a run, beside `folder`. An
    objective with rewards of its own gives them, by name and weight, to `reward`.
    """
    objective = load_objective(method, settings)
    bare, leads = not has_lora(speechlm.lm), parallel.world().leads
    _check_able(speechlm, settings, objective)
    if settings.sharding != "none":
        if settings.tuning == "full":
            adapt(speechlm, settings, seed)  # while there are whole weights to copy
        shard(speechlm.lm, pick_device())
    token_teacher = _token_teacher(speechlm, settings, objective, teacher_system)
    mark, shared = _told_mark(speechlm, mark), folder.path.parent / SHARED
    data = prepare(speechlm, utterances, settings, seed, mark=mark, shared=shared)
    ranked, valued = _rewards(objective, settings, data, folder, reward) if leads else (None, None)
    adapt(speechlm, settings, seed)
    state = keep_only(folder.path.parents[1] / CHECKPOINTS, folder.path.name, folder.manifest["fingerprint"])
    rollouts = None
    if objective.needs_samples:
        kept = _rollout_folder(settings, method, folder, seed, data)
        valued_by = reward_mark(settings, objective, teacher, teacher_system)
        if ranked:
            folder.note("reward_mark", valued_by)
        rollouts = _rollouts(speechlm, settings, objective, data, ranked, kept, seed, state, bare, valued_by)
    probe = _probe(speechlm, settings, data, seed, leads and bare)
    trainer = Trainer(
        speechlm,
        objective,
        data.plan,
        data.learnt,
        settings,
        rollouts=rollouts,
        validator=_validator(speechlm, settings, data, valued) if leads else None,
        probe=probe,
        folder=state,
        seed=seed,
        log=log,
        teacher=token_teacher,
    )
    outcome = trainer.run()
    if leads:
        facts = {**asdict(outcome), "lr_multiplier": trainer.rate.multiplier, "trained_weights": trainer.size}
        _note(folder, facts, ranked or valued, rollouts if ranked else None)
        base, task = Path(speechlm.name).name, task_of(speechlm)
        known: dict[str, Any] = {"base": base, "teacher": teacher, "task": task, "seed": seed}
        _write(speechlm, model_card(method, settings, **known, data=data.counts, outcome=facts), folder)
        folder.complete()
        shutil.rmtree(state, ignore_errors=True)  # only now: what is lost before is trained again
    return outcome


def _check_able(speechlm: SpeechLM, settings: AlignSettings, objective: Objective) -> None:
    """Raise ModelError for a SpeechLM that cannot be trained as the recipe asks."""
    if objective.needs_reference and has_lora(speechlm.lm):
        fix = "set align.use_reference=false and the method's kl to 0, or choose a method without a reference"
        raise ModelError("an aligned model cannot be its own reference", speechlm.name, fix)
    _check_packed(speechlm, settings)
    if settings.gradient_checkpointing:
        check_recomputed(backbone(speechlm.lm.model))


def _check_packed(speechlm: SpeechLM, settings: AlignSettings) -> None:
    """Raise ModelError where packed weights, which a checkpoint may bring along, cannot do what is asked of them."""
    if speechlm.lm.quantize != quantization.NF4:
        return
    or_else = "or start from a model on unpacked weights"
    if settings.sharding != "none":
        fix = f"set align.sharding=none, {or_else}"
        raise ModelError("weights that are packed in 4 bits cannot be divided", speechlm.name, fix)
    if settings.rollout_server:
        fix = f"leave align.rollout_server empty, {or_else}"
        raise ModelError("a server does not draw from weights that are packed in 4 bits", speechlm.name, fix)


def _token_teacher(
    speechlm: SpeechLM, settings: AlignSettings, objective: Objective, system: System
) -> TokenTeacher | None:
    """What gives token distributions, where the objective learns from any."""
    with parallel.leader_first():
        return load_token_teacher(speechlm, settings, system) if objective.needs_teacher else None


def _told_mark(speechlm: SpeechLM, mark: str) -> str:
    """What identifies the model together with what it is told: `mark`, or its name where that is empty."""
    mark, task = mark or speechlm.name, task_of(speechlm)
    return fingerprint(mark, task) if task else mark


def _rewards(
    objective: Objective, settings: AlignSettings, data: Prepared, folder: StageFolder, load: Callable[..., Reward]
) -> tuple[Reward | None, Reward | None]:
    """What ranks answers and what validates them, as `rewards`; what they will be asked about is noted before."""
    folder.note("data", data.counts)
    folder.note("bad_clips", data.lost)
    return rewards(objective, settings, bool(data.validation), load)


def _note(folder: StageFolder, facts: dict[str, Any], reward: Reward | None, rollouts: Rollouts | None) -> None:
    """What the training came to, and what its reward has to tell: of own answers if it ranks them."""
    dropped = rollouts.all_dropped() if rollouts else getattr(reward, "dropped", {})
    folder.note("training", facts)
    folder.note("rewards_dropped", dict(dropped))
    folder.note("reward_signatures", getattr(reward, "signatures", {}))


def _rollouts(
    speechlm: SpeechLM,
    settings: AlignSettings,
    objective: Objective,
    data: Prepared,
    ranked: Reward | None,
    kept: Path,
    seed: int,
    state: Path,
    bare: bool,
    valued_by: str,
) -> Rollouts:
    """The model's own answers, kept in the folder `kept`, with rewards that are marked by what gave them."""
    sampler = load_sampler(speechlm, settings, state / "served")
    typed, mark, old = objective.needs_typed, f"{valued_by}-", objective.needs_old
    return Rollouts(speechlm, data.learnt, data.plan, settings, ranked, kept, seed, sampler, bare, typed, mark, old)


def _validator(speechlm: SpeechLM, settings: AlignSettings, data: Prepared, reward: Reward | None) -> Validator | None:
    return Validator(speechlm, data.bank, data.validation, settings, reward) if data.validation else None


def _probe(speechlm: SpeechLM, settings: AlignSettings, data: Prepared, seed: int, wanted: bool) -> DriftProbe | None:
    """What measures drift, if it is `wanted`. All processes come by here: a divided model draws the answers."""
    with speechlm.lm.weights.in_step():
        return DriftProbe(speechlm, data.bank, data.probe, settings, seed) if wanted and data.probe else None


def _rollout_folder(settings: AlignSettings, method: str, folder: StageFolder, seed: int, data: Prepared) -> Path:
    """Where self-samples are kept: beside the methods if all of them draw from the initial model, else in the stage.

    A variant takes those of the methods where they are the same, and leaves them alone where they are not.
    """
    own, shared = folder.path / "rollouts", folder.path.parent / SHARED
    if settings.refresh != "once":
        return own
    facts = {key: value for key, value in config.to_tree(settings).items() if key in SAMPLED_BY}
    facts["rollout_server"] = llm_mark(settings.rollout_server) if settings.rollout_server else ""
    wanted = sorted({(group.id, group.response) for step in data.plan for group in step})  # rewards compare with these
    mark = fingerprint(data.mark, facts, seed, wanted)
    if folder.path.name != method:
        return shared / f"answers-{mark}" if (shared / f"answers-{mark}").is_dir() else own
    return keep_only(shared, "answers", mark)


def _write(speechlm: SpeechLM, card: str, folder: StageFolder) -> None:
    """The checkpoint folder, in one step."""
    arriving, model = folder.path / ".model.arriving", folder.path / "model"
    for leftover in (arriving, model):
        shutil.rmtree(leftover, ignore_errors=True)
    speechlm.save(arriving)
    carry_heard(speechlm.name, arriving)
    tidy_adapter(arriving / "adapter", speechlm.lm.name)
    (arriving / "README.md").write_text(card, encoding="utf-8")
    settle(arriving, model)
