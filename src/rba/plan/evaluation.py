"""The plan of the evaluation stage: the answers of every model, by the stage's own plan of its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from rba.alignment.variants import resolve, trained
from rba.data.utterance import Utterance
from rba.evaluation import collect
from rba.evaluation.listening import TYPED
from rba.plan.alignment import encoded
from rba.plan.basis import TEXT, Basis
from rba.plan.drawing import drawing, reading
from rba.plan.item import Item, Part, Stage
from rba.plan.judging import QUESTION, letters, scores, verdicts
from rba.plan.memory import drawing_memory, model_memory
from rba.plan.speech import transcribing


def plan_evaluation(basis: Basis) -> Stage:
    """Answers of base, methods, typed input, cascade and teacher, and the judges that run a model."""
    settings, recipe = basis.recipe.evaluate, basis.recipe
    models = ["base", *trained(recipe.align)]
    instructions = min(settings.instructions or recipe.synthesis.test, recipe.synthesis.test)
    asked = _utterances(instructions, min(settings.voices, recipe.speech.voices))
    conditions = settings.conditions
    some = min(conditions.instructions or instructions, instructions)
    heard = len(set(conditions.names) - {TYPED})
    again = _utterances(some, min(conditions.voices, settings.voices, recipe.speech.voices)) * heard
    typed = _utterances(some, 1) if TYPED in conditions.names else []
    jobs = collect.plan(dict.fromkeys(models), asked, settings, recipe.seed, again + typed)
    counts: Counter[str] = Counter()
    for job in jobs:
        counts[job.model] += len(job.utterances)
    clips = len(asked) + len(again)
    items = [encoded(basis, "clips encoded", clips)]
    items += [item for model, count in counts.items() for item in _answers(basis, model, count, clips)]
    for benchmark in settings.benchmarks:
        items += _benchmark(basis, benchmark, models)
    items += _judges(basis, models, instructions)
    written = sum(item.new for item in items)
    return Stage(
        "evaluation",
        tuple(items),
        disk=TEXT * written,
        working_disk=_features(basis, clips),
        memory=_memory(basis),
    )


def _utterances(instructions: int, voices: int) -> list[Utterance]:
    """Stand-ins: as many as are evaluated, without words or sound."""
    names = [(f"{i}", f"{i}-{v}", v) for i in range(instructions) for v in range(voices)]
    return [
        Utterance(own, instruction, voice, "", "", "", "", "test", "", "", 0, "", 0.0, None, b"")
        for instruction, own, voice in names
    ]


def _answers(basis: Basis, model: str, count: int, clips: int) -> Iterable[Item]:
    """What one model answers; a cascade writes down the `clips`."""
    settings, lengths, teacher = basis.recipe.evaluate, basis.lengths, basis.recipe.teacher
    if model == collect.TEACHER:
        return []  # those of the synthesis
    if model == collect.AGAIN:
        decoder, batch = basis.text_lm(teacher), basis.batch(teacher, 96)
        prompt = lengths.typed(basis.recipe.synthesis.answer_preamble)
        size = (count, prompt, max(1, round(basis.assumed.teacher_fill * settings.again.max_new_tokens)))
        drawn = drawing(decoder, *size, batch) if decoder else None
        return [basis.work("second answers of the teacher", teacher, *size, drawn)]
    return [
        *([transcribing(basis, "clips transcribed", settings.cascade, clips)] if model == collect.CASCADE else []),
        _drawn(basis, f"answers: {model}", model, count, settings.answer.max_new_tokens),
    ]


def _drawn(basis: Basis, what: str, model: str, count: int, limit: int) -> Item:
    settings, lengths = basis.recipe.evaluate, basis.lengths
    align = basis.recipe.align
    settings_of = resolve(align, model)[1] if model in trained(align) else None
    rank = settings_of.lora.rank if settings_of and settings_of.tuning == "lora" else 0  # full copies are settled
    decoder = basis.hearing.decoder
    prompt = lengths.typed() if model in (collect.TEXT, collect.CASCADE) else lengths.heard
    size = (count, prompt, lengths.own(limit))
    if decoder is None:
        return basis.work(what, basis.hearing.name, *size, None)
    sized = replace(decoder, rank=rank, itemsize=basis.itemsize(settings.dtype))
    return basis.work(what, "", *size, drawing(sized, *size, settings.batch))


def _benchmark(basis: Basis, benchmark: object, models: list[str]) -> list[Item]:
    """A benchmark's items, asked of all that answer; of one without a limit nobody knows how many there are."""
    name, count, limit = (getattr(benchmark, key) for key in ("name", "items", "max_new_tokens"))
    if not count:
        return [Item(f"benchmark {name}", 0, unknown="all of its items: how many is not known before it is read")]
    asked = [*models, collect.TEXT, *([collect.CASCADE] if basis.recipe.evaluate.cascade else [])]
    found = [_drawn(basis, f"benchmark {name}: {model}", model, count, limit) for model in asked]
    teacher = basis.recipe.teacher
    decoder = basis.text_lm(teacher)
    size = (count, basis.lengths.typed(), basis.lengths.own(limit))
    drawn = drawing(decoder, *size, basis.batch(teacher, 96)) if decoder else None
    return [
        encoded(basis, f"benchmark {name}: clips encoded", count),
        *found,
        basis.work(f"benchmark {name}: teacher", teacher, *size, drawn),
    ]


def _judges(basis: Basis, models: list[str], instructions: int) -> list[Item]:
    """The judges that run a model: pairs of players are read in both orders, or answers once each."""
    settings, lengths, found = basis.recipe.evaluate, basis.lengths, list[Item]()
    some = min(settings.slow_judge_instructions or instructions, instructions)
    players = [*models, collect.TEXT, *([collect.CASCADE] if settings.cascade else [])]
    known = (*players, collect.TEACHER)
    fought = {frozenset((p, o)) for o in settings.opponents for p in players if p != o and o in known}
    answer = lengths.own(settings.answer.max_new_tokens)
    judge, prompt = settings.judge or basis.recipe.teacher, QUESTION + lengths.typed() + 2 * answer
    if "pairwise" in settings.judges:
        found.append(verdicts(basis, "pairs judged", judge, 2 * some * len(fought), prompt))
    if "letter" in settings.judges:
        found.append(letters(basis, "pairs judged by letter", judge, 4 * some * len(fought), prompt))
    count = some * len({player for pair in fought for player in pair})
    if "reward-model" in settings.judges:
        found.append(scores(basis, "answers judged by reward model", settings.reward_model, count, answer))
    if "likelihood" in settings.judges:
        name = basis.recipe.teacher
        decoder = basis.text_lm(name)
        read = reading(decoder, count, lengths.typed(), answer) if decoder else None
        found.append(basis.work("answers judged by likelihood", name, count, lengths.typed() + answer, 0, read))
    return found


def _memory(basis: Basis) -> tuple[Part, ...]:
    """The SpeechLM while it answers; the teacher and the judge once it is gone."""
    settings, teacher = basis.recipe.evaluate, basis.recipe.teacher
    size = basis.itemsize(settings.dtype)
    parts = [p if p in basis.resident else replace(p, phase="draw") for p in model_memory(basis, settings.dtype)]
    if decoder := basis.hearing.decoder:
        longest = basis.lengths.heard + settings.answer.max_new_tokens
        parts += drawing_memory(basis, replace(decoder, itemsize=size), settings.batch, longest)
    readers: dict[str, str] = {}
    if settings.teacher_again or settings.benchmarks or "likelihood" in settings.judges:
        readers[teacher] = "teacher"
    if {"pairwise", "letter"} & set(settings.judges):
        readers.setdefault(settings.judge or teacher, "judge")
    weights = [part for name, what in readers.items() for part in basis.weights(name, what)]
    if "reward-model" in settings.judges:
        weights += basis.weights(settings.reward_model, "reward model", "reward")
    parts += [replace(part, phase="text") for part in weights]
    return tuple(parts)


def _features(basis: Basis, clips: int) -> float:
    """Bytes of the encoded speech that is kept while the stage works."""
    rate = basis.hearing.frame_rate if basis.hearing.compact else basis.lengths.audio_rows
    ears = basis.hearing.ears
    return clips * basis.lengths.seconds * rate * 2 * ears.tower_width if ears else 0.0
