"""The plan of the connect stage, where a connector is trained: texts, their speech, CTC and distillation."""

from __future__ import annotations

from dataclasses import replace

from rba.connect.corpus_file import read_rows
from rba.inputs import given
from rba.lm.flops import shared_work
from rba.plan.basis import Basis
from rba.plan.drawing import drawing
from rba.plan.item import Item, Part, Pass, Stage
from rba.plan.memory import TRAINED_BYTES
from rba.plan.speech import known_speed

SECONDS_A_TEXT = 4.77
"""Seconds of a text of the corpus: 72.2 hours of 54,421 texts (recipes/connector.yaml)."""
SAMPLED_TOKENS = 60
"""The longest sentence that the LLM writes for the corpus (`rba.connect.corpus`)."""
SAMPLED_BATCH = 96


def plan_connect(basis: Basis, speed: float | None = None) -> Stage:
    """What `connect.connector=train` makes; nothing but a copy with the shipped one."""
    settings, model = basis.recipe.connect, basis.hearing
    copied = 2.0 * model.connector
    if settings.connector == "shipped":
        return Stage("connect", (Item("connectors copied", 1),), disk=copied)
    texts = settings.corpus.self_synthesised + settings.corpus.templated + sum(map(_lines, settings.corpus.files))
    clips = max(0, texts - settings.corpus.held_out) * settings.corpus.renderings + settings.corpus.held_out
    seconds = clips * SECONDS_A_TEXT
    rate = speed or known_speed(basis, "hibari")
    items = [Item("utterances spoken", clips, core_seconds=seconds / rate if rate else 0.0), _encoded(basis, clips)]
    if settings.corpus.self_synthesised:
        items.insert(0, _sampled(basis))
    items.append(_ctc(basis, seconds))
    if settings.distill.updates:
        items.append(_distilled(basis))
    features = seconds * model.frame_rate * 2 * (model.ears.tower_width if model.ears else 0)
    memory = (*basis.resident, Part("connector and optimiser", TRAINED_BYTES * model.connector))
    memory += basis.weights(settings.llm, "LLM")
    return Stage("connect", tuple(items), disk=copied + features, audio_hours=seconds / 3600, memory=memory)


def _lines(name: str) -> int:
    """The texts of a corpus file; 0 for one that is not here."""
    path = given(name)
    return len(read_rows(path)) if path.is_file() else 0


def _sampled(basis: Basis) -> Item:
    settings = basis.recipe.connect
    decoder, count = basis.text_lm(settings.llm), settings.corpus.self_synthesised
    size = (count, basis.lengths.before(""), SAMPLED_TOKENS)
    return basis.work("texts drawn", settings.llm, *size, drawing(decoder, *size, SAMPLED_BATCH) if decoder else None)


def _encoded(basis: Basis, clips: int) -> Item:
    ears = basis.hearing.ears
    if ears is None:
        return Item("clips encoded", clips, unknown=f"{basis.recipe.connect.encoder}: shape unknown")
    flops = clips * ears.hearing(basis.hearing.frame_rate * SECONDS_A_TEXT)
    return Item("clips encoded", clips, passes=(Pass(flops, 0.0, "read"),))


def _ctc(basis: Basis, seconds: float) -> Item:
    """Forward and backward through the connector: three products a weight and step."""
    settings = basis.recipe.connect.ctc
    steps = settings.passes * seconds * basis.hearing.frame_rate / settings.stack
    updates = round(steps / settings.batch_steps)
    return Item("CTC updates", updates, passes=(Pass(6 * basis.hearing.connector * steps, 0.0, "train"),))


def _distilled(basis: Basis) -> Item:
    settings, decoder = basis.recipe.connect.distill, basis.hearing.decoder
    if decoder is None:
        return Item("distillation updates", settings.updates, unknown="shape of the LLM unknown")
    work = shared_work([basis.lengths.heard], [[settings.max_response]])
    still = replace(decoder, rank=0)
    taught = 2 * (still.forward(work) + still.head(work)) + still.backward(work) + still.head(work)
    count = settings.updates * settings.batch
    return Item("distillation updates", settings.updates, passes=(Pass(count * taught, 0.0, "train"),))
