"""The plan of the align stage: what all methods share, and the updates of each."""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import replace

from rba.alignment.objectives.objective import Objective, load_objective
from rba.alignment.variants import resolve, trained
from rba.lm.flops import Decoder
from rba.plan.basis import Basis
from rba.plan.drawing import drawing, reading
from rba.plan.item import Item, Part, Pass, Stage
from rba.plan.judging import reward_items, reward_memory
from rba.plan.memory import drawing_memory, model_memory, training_memory
from rba.plan.sharing import Kind, Shared, held_out, kinds
from rba.plan.updates import Line, learnt_voices, line_of, tuned, updates
from rba.services.service import is_service

SAMPLE = 13.0
"""Bytes of a token of a kept self-sample, its id and log-prob: 12,222 bytes for 939 tokens in recipes/qa.yaml."""
COPIES = 2
"""The model of a method lies in its stage and in `final/`."""


def plan_alignment(basis: Basis) -> list[Stage]:
    """The shared stage and one for every method and variant."""
    recipe = basis.recipe
    line = line_of(recipe.synthesis.train, recipe.align)
    objectives = [load_objective(method, recipe.align) for method in recipe.align.methods]
    once = objectives if recipe.align.refresh == "once" else []
    common = frozenset(kind for objective in once for kind in kinds(objective))
    stages, shared = [_shared(basis, line, common)], Shared()
    for name in trained(recipe.align):
        method, settings = resolve(recipe.align, name)
        own, objective = basis.under(settings), load_objective(method, settings)
        missing = shared.missing(own, kinds(objective), name, method)
        if name in recipe.align.methods:
            missing -= common
        line = line_of(recipe.synthesis.train, settings)
        stages.append(_method(own, f"align/{name}", line, objective, missing))
    return stages


def validations(steps: int, every: int) -> int:
    """How often a run validates: before the first update, at every `every`-th and at the last."""
    return 1 + steps // every + bool(steps % every) if every else 0


def _shared(basis: Basis, line: Line, wanted: Set[Kind]) -> Stage:
    """Encoded speech, and the self-samples of the initial model that methods share."""
    clips = (line.reached + held_out(basis)) * basis.recipe.speech.voices
    items, disk = [encoded(basis, "clips encoded", clips)], _kept_speech(basis, clips)
    items += _samples(basis, line, wanted, adapter=False)
    disk += SAMPLE * sum(item.new for item in items if item.what.startswith("self-samples"))
    return Stage("align (shared)", tuple(items), disk=disk, memory=_weights(basis))


def encoded(basis: Basis, what: str, clips: int) -> Item:
    """Clips heard by the frozen tower: the compact model's of their own length, others padded."""
    ears, lengths = basis.hearing.ears, basis.lengths
    if ears is None:
        return Item(what, clips, unknown=f"{basis.hearing.name}: shape unknown")
    seconds = lengths.seconds if basis.hearing.compact else basis.assumed.padded_seconds
    flops = clips * ears.hearing(basis.hearing.frame_rate * seconds)
    return Item(what, clips, clips * lengths.heard, 0, (Pass(flops, 0.0, "read"),))


def _kept_speech(basis: Basis, clips: int) -> float:
    """Bytes of the prompts, and of the features that a trained connector makes them of."""
    decoder, ears = basis.hearing.decoder, basis.hearing.ears
    if decoder is None or ears is None:
        return 0.0
    prompts = basis.lengths.heard * decoder.width * basis.itemsize(basis.recipe.align.dtype)
    rate = basis.hearing.frame_rate if basis.hearing.compact else basis.lengths.audio_rows
    kept = basis.hearing.kept_rows or basis.lengths.seconds * rate
    features = kept * ears.tower_width * 2 if basis.recipe.align.train_connector else 0
    return clips * (prompts + features)


def _samples(basis: Basis, line: Line, wanted: Set[Kind], adapter: bool) -> list[Item]:
    """Self-samples of all rounds and their rewards, as far as they are `wanted`."""
    settings, lengths = basis.recipe.align, basis.lengths
    decoder = policy(basis, adapter)
    voices, answer = learnt_voices(basis.recipe), lengths.own(settings.sample.max_new_tokens)
    count = line.drawn * voices * settings.answers
    ways, found = dict[str, tuple[int, int]](), list[Item]()
    if Kind(typed=False) in wanted:
        ways["self-samples drawn"] = (lengths.heard, settings.answers)
    if Kind(typed=True) in wanted:
        ways["self-samples to typed requests drawn"] = (lengths.typed(), voices * settings.answers)
    for what, (prompt, group) in ways.items():
        work = drawing(decoder, count, prompt, answer, settings.rollout_batch, group) if decoder else None
        item = basis.work(what, settings.rollout_server, count, prompt, answer, work)
        found.append(replace(item, prompt=count / group * prompt, divided=True))
    if times := sum(kind.terms is not None for kind in wanted):
        found += reward_items(basis, count * times, answer, "self-samples rewarded")
    return found


def policy(basis: Basis, adapted: bool = True) -> Decoder | None:
    """The SpeechLM's LLM, as it is or with what alignment trains of it, in the format of alignment."""
    settings, decoder = basis.recipe.align, basis.hearing.decoder
    if decoder is None:
        return None
    decoder = replace(decoder, itemsize=basis.itemsize(settings.dtype))
    return tuned(decoder, settings) if adapted else decoder


def _weights(basis: Basis) -> tuple[Part, ...]:
    settings = basis.recipe.align
    return model_memory(basis, settings.dtype, settings.sharding != "none", settings.quantize != "none")


def _method(basis: Basis, name: str, line: Line, objective: Objective, missing: Set[Kind]) -> Stage:
    """The training of a method or variant, with the self-samples and rewards that it has yet to make."""
    settings = basis.recipe.align
    decoder = policy(basis)
    items = _samples(basis, line, missing, adapter=settings.refresh != "once")
    written = sum(item.new for item in items if item.what.startswith("self-samples"))
    kept = 0.0 if settings.refresh == "online" else SAMPLE * written
    memory = _weights(basis)
    if decoder is None:
        items.append(Item("updates", settings.steps, unknown=f"{basis.hearing.name}: shape unknown"))
        return Stage(name, tuple(items), disk=kept, memory=memory)
    found = updates(basis, objective)
    each = (Pass(settings.steps * found.flops, 0.0, "train"),)
    items.append(Item("updates", settings.steps, settings.steps * found.tokens, 0, each, divided=True))
    items += [*_taught(basis, objective, settings.steps * found.taught), *_measured(basis, decoder)]
    memory += training_memory(basis, decoder, found)
    if any(item.new and not item.served for item in items):
        longest = basis.lengths.heard + settings.sample.max_new_tokens
        memory += drawing_memory(basis, decoder, settings.rollout_batch, longest)
    if objective.needs_rewards or (settings.validation.every and settings.validation.by == "reward"):
        memory += reward_memory(basis)
    if objective.needs_teacher and settings.token_teacher:
        memory += basis.weights(settings.token_teacher, "token teacher")
    trained = decoder.trained + (basis.hearing.connector if settings.train_connector else 0)
    saved = (decoder.itemsize if decoder.full else 4) * decoder.trained
    saved += (2 if basis.hearing.compact else 4) * basis.hearing.connector
    # last weights, two moments, and the best weights
    working = 4 * trained * (4 if settings.validation.every else 3)
    disk = COPIES * saved + kept
    return Stage(name, tuple(items), disk=disk, working_disk=working, memory=memory)


def _taught(basis: Basis, objective: Objective, count: float) -> list[Item]:
    """Answers that a served token teacher reads; one in memory is counted with the updates."""
    name = basis.recipe.align.token_teacher
    if not (objective.needs_teacher and is_service(name)):
        return []
    decoder = basis.text_lm(name)
    prompt = basis.lengths.typed(basis.recipe.synthesis.answer_preamble)
    answer = basis.lengths.own(basis.recipe.align.sample.max_new_tokens)
    read = reading(decoder, count, prompt, answer) if decoder else None
    return [basis.work("answers read by the token teacher", name, count, prompt + answer, 0, read)]


def _measured(basis: Basis, decoder: Decoder) -> list[Item]:
    """Validations and measurements of the drift, which the leader of several processes does alone."""
    settings, lengths, found = basis.recipe.align, basis.lengths, list[Item]()
    own = lengths.own(settings.sample.max_new_tokens)
    groups = min(settings.validation.groups, basis.recipe.synthesis.validation)
    if times := validations(settings.steps, settings.validation.every) * groups:
        scored = reading(decoder, times, lengths.heard, lengths.reference)
        found.append(basis.work("validation answers scored", "", times, lengths.heard + lengths.reference, 0, scored))
        if settings.validation.by == "reward":
            # a validation draws its own batches: that of the last answers of one is not full
            batch = math.ceil(groups / math.ceil(groups / settings.rollout_batch))
            drawn = drawing(decoder, times, lengths.heard, own, batch)
            found.append(basis.work("validation answers drawn", "", times, lengths.heard, own, drawn))
            found += reward_items(basis, times, own, "validation answers rewarded")
    if every := settings.adaptive.drift_every:
        answers = min(settings.adaptive.drift_answers, groups or basis.recipe.synthesis.train)
        times = answers * (1 + settings.steps // every)
        found.append(
            basis.work(
                "drift answers scored", "", times, lengths.heard + own, 0, reading(decoder, times, lengths.heard, own)
            )
        )
    return found
