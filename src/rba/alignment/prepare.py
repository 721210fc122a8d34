"""What a run trains and validates on: instructions, their encoded speech, and the order of the updates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rba import parallel
from rba.alignment.bank import PromptBank, build_bank, typed_bank
from rba.alignment.checks import check_audio_matters
from rba.alignment.groups import Group, limited, make_groups, plan, without
from rba.alignment.settings import AlignSettings
from rba.data import seeds
from rba.data.utterance import Utterance
from rba.errors import DataError
from rba.lm import chat
from rba.lm.number_format import number_format
from rba.models import folder_of
from rba.models.speechlm import SpeechLM
from rba.workspace import file_hash, fingerprint, keep_only

SHARED = ".shared"


@dataclass(frozen=True)
class Prepared:
    """The instructions of every update, those to validate on, those to measure drift on, and their speech.

    `learnt` holds the prompts of training: those of `bank`, or the words typed (`align.prompt`). `mark` identifies the
    model and all speech; `counts` are facts for the manifest and the model card; `lost` says why clips were left out,
    by utterance id.
    """

    plan: list[list[Group]]
    validation: list[Group]
    probe: list[Group]
    bank: PromptBank
    learnt: PromptBank
    mark: str
    counts: dict[str, Any]
    lost: dict[str, str]


def prepare(
    speechlm: SpeechLM, utterances: Sequence[Utterance], settings: AlignSettings, seed: int, *, mark: str, shared: Path
) -> Prepared:
    """Choose and encode the speech of a run. `mark` identifies the model; methods of a run share the folder `shared`.

    Raises DataError where there is nothing to train on, ModelError for a model that does not listen or never ends.
    """
    train, held_out, counts = _choose(speechlm, utterances, settings, seed)
    wanted = {u for group in [*train, *held_out] for u in group.utterances}
    needed = sorted((u for u in utterances if u.id in wanted), key=lambda u: u.id)
    heard = hashlib.sha256(b"".join(hashlib.sha256(u.audio).digest() for u in needed)).hexdigest()
    numbers = str(number_format(settings.dtype))
    mark = fingerprint(mark, numbers, settings.train_connector, heard, [u.id for u in needed])
    with parallel.leader_first():  # the others read what it has encoded
        place = keep_only(shared, "speech", mark)
        bank, lost = build_bank(speechlm, needed, settings.train_connector, place, settings.features_in_memory)
    train, held_out = limited(without(train, lost), settings.instructions, settings.voices), without(held_out, lost)
    if not train:
        raise DataError("no training clip can be heard", next(iter(lost.values()), ""), "run rba speak again")
    counts |= {"bad_clips": len(lost), "instructions_reached": len(train), "validation_instructions": 0}
    with speechlm.lm.weights.in_step():
        counts["audio_effect"] = round(check_audio_matters(speechlm, needed, train, settings), 4)
    validation = held_out[: settings.validation.groups] if settings.validation.every else []
    counts["validation_instructions"] = len(validation)
    probe = (held_out or train)[: settings.adaptive.drift_answers] if settings.adaptive.drift_every else []
    order = plan(train, settings.groups_per_step, settings.steps, seed)
    learnt = bank if settings.prompt == "speech" else typed_bank(speechlm, train)
    return Prepared(order, validation, probe, bank, learnt, mark, counts, lost)


def _choose(
    speechlm: SpeechLM, utterances: Sequence[Utterance], settings: AlignSettings, seed: int
) -> tuple[list[Group], list[Group], dict[str, Any]]:
    """The training instructions that the updates can reach, the held-out ones that will be used, and counts."""
    lm, longest = speechlm.lm, settings.max_response
    end = chat.taught_end(lm.end_ids, lm.name)
    train, counts = make_groups(utterances, "train", lm.tokenizer, end, longest)
    held_out, _ = make_groups(utterances, "validation", lm.tokenizer, end, longest)
    if not train:
        fix = "run rba synthesize and rba speak with synthesis.train above 0 first"
        raise DataError("there is no spoken training instruction with an answer", "split train", fix)
    train.sort(key=lambda group: seeds.derive(seed, "train", group.id))
    held_out.sort(key=lambda group: seeds.derive(seed, "validation", group.id))
    used = max(
        settings.validation.groups if settings.validation.every else 0,
        settings.adaptive.drift_answers if settings.adaptive.drift_every else 0,
    )
    reached = train[: settings.steps * settings.groups_per_step]
    return reached, held_out[:used], counts


def model_mark(model: Path | str) -> str:
    """What identifies a SpeechLM: its name, and its files where it is a local folder or the shipped one."""
    folder = folder_of(model)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "README.md") if folder.is_dir() else []
    return fingerprint(str(model), [(str(p.relative_to(folder)), file_hash(p)) for p in files])
