"""The plan of the synthesis stage: requests drawn, requests answered, instructions kept."""

from __future__ import annotations

import math

from rba.plan.basis import TEXT, VECTOR, Basis, cache
from rba.plan.drawing import drawing
from rba.plan.item import Item, Part, Stage
from rba.services.service import is_service


def plan_synthesis(basis: Basis) -> Stage:
    """Rounds of `shard_size` requests until as many are kept as the recipe wants."""
    settings, lengths, assumed = basis.recipe.synthesis, basis.lengths, basis.assumed
    name = basis.recipe.teacher
    decoder, batch = basis.text_lm(name), basis.batch(name, settings.batch)
    drawn = math.ceil(settings.wanted / assumed.kept / settings.shard_size) * settings.shard_size
    answered = round(drawn * assumed.answered)
    work = {
        "requests drawn": (drawn, lengths.before(settings.query_preamble), lengths.drawn),
        "requests answered": (answered, lengths.typed(settings.answer_preamble), lengths.answered),
    }
    items = [
        basis.work(what, name, *size, drawing(decoder, *size, batch) if decoder else None)
        for what, size in work.items()
    ]
    memory = (*basis.resident, *basis.weights(name, "teacher"))
    if decoder:
        longest = lengths.typed(settings.answer_preamble) + settings.answer.max_new_tokens
        served = is_service(name)
        memory += (Part("keys and values", cache(decoder, min(batch, drawn), longest), "draw", served),)
    written = drawn * lengths.drawn + answered * lengths.answered
    kept = settings.wanted * (lengths.request + lengths.response)
    disk = TEXT * (written + kept) + VECTOR * settings.wanted
    return Stage("synthesis", (*items, Item("instructions kept", settings.wanted)), disk=disk, memory=memory)
