"""Speech that evaluation makes itself, kept in shards so that a stopped stage need not make it twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rba.data import shards
from rba.data.seeds import derive
from rba.data.utterance import Utterance
from rba.errors import AudioError, RecipeError
from rba.evaluation.listening import ACCENTED, OWN_PACE, TYPED, say
from rba.evaluation.settings import ConditionSettings
from rba.progress import progress
from rba.speech.bank import check_words
from rba.speech.engine import clones, prepare
from rba.speech.references import find_speaker
from rba.speech.settings import SpeechSettings
from rba.workspace import write_json

SHARD = 32


def render_conditions(
    settings: ConditionSettings,
    utterances: Sequence[Utterance],
    folder: Path,
    seed: int,
    speech: SpeechSettings,
) -> tuple[list[Utterance], dict[str, str]]:
    """The test utterances under every condition, by instruction, voice and condition; and why others are missing.

    Of `utterances` a seeded draw of `settings.instructions` takes part with its first `settings.voices` voices.
    What is missing of an engine is refused before anything is made: RecipeError, or what its own `prepare` raises.
    """
    if settings.names:
        heard = {u.engine for u in utterances}
        check_engines(settings, heard, speech)
        for name in sorted(heard | ({settings.engine} if "engine" in settings.names else set())):
            prepare(name)
    ids = sorted({u.instruction_id for u in utterances}, key=lambda i: derive(seed, "conditions", i))
    chosen, counts = set(ids[: settings.instructions or None]), dict.fromkeys(ids, 0)
    work = []
    for utterance in utterances:
        counts[utterance.instruction_id] += 1
        if utterance.instruction_id in chosen and counts[utterance.instruction_id] <= settings.voices:
            again = counts[utterance.instruction_id] > 1  # voices do not type
            work += [(utterance, name) for name in settings.names if not (again and name == TYPED)]
    return make_speech(
        work,
        lambda item: say(item[0], item[1], settings.engine, partial(find_speaker, references=speech.references)),
        lambda item: f"{item[0].id}@{item[1]}",
        folder,
        "conditions",
    )


def check_engines(settings: ConditionSettings, heard: set[str], speech: SpeechSettings) -> None:
    """Raise RecipeError where an engine cannot do what a condition asks of it.

    `heard` are the engines that the run speaks with.
    """
    if "accent" in settings.names and (deaf := heard - ACCENTED):
        fix = f"leave the condition out; {' and '.join(sorted(ACCENTED))} speak with other accents"
        raise RecipeError("this engine cannot change the accent", min(deaf), fix)
    if {"fast", "slow"} & set(settings.names) and (steady := [name for name in heard if name.startswith(OWN_PACE)]):
        fix = "leave fast and slow out, or speak with another engine"
        raise RecipeError("this engine keeps its own pace", min(steady), fix)
    settings.check_engine(heard)
    if "engine" not in settings.names:
        return
    if clones(settings.engine) == bool(speech.references):
        check_words(settings.engine, speech.references)
        return
    what, kind = "cannot speak with the voices of the run's reference clips", "clones"
    if not speech.references:
        what, kind = "clones voices, and the run has no recordings (speech.references)", "does not clone"
    fix = f"name an engine that {kind} in evaluate.conditions.engine, or leave the condition out"
    raise RecipeError(f"this engine {what}", settings.engine, fix)


def make_speech(
    work: Sequence[Any],
    make: Callable[[Any], Utterance],
    name: Callable[[Any], str],
    folder: Path,
    what: str,
) -> tuple[list[Utterance], dict[str, str]]:
    """`make` of every item, in order, from the shards in `folder` where they exist; and why items are missing, by name.

    A shard is a pure function of its items; one that is there is read, not made.
    """
    made: list[Utterance] = []
    refused: dict[str, str] = {}
    with progress(what, len(work)) as bar:
        for index, start in enumerate(range(0, len(work), SHARD)):
            path, part = folder / f"part-{index:05d}.parquet", work[start : start + SHARD]
            notes = folder / f"refused-{index:05d}.json"
            if not path.is_file():
                folder.mkdir(parents=True, exist_ok=True)
                rows, missing = _attempt(part, make, name)
                write_json(notes, missing)  # before the shard, so that no shard lacks its reasons
                shards.write(path, rows, Utterance)
            made += shards.read(path, Utterance)
            refused |= _reasons(notes)
            bar.advance(len(part))
    return made, refused


def _attempt(
    part: Sequence[Any], make: Callable[[Any], Utterance], name: Callable[[Any], str]
) -> tuple[list[Utterance], dict[str, str]]:
    rows, missing = [], {}
    for item in part:
        try:
            rows.append(make(item))
        except AudioError as error:
            missing[name(item)] = error.what
    return rows, missing


def _reasons(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
