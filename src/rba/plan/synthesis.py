"""The plan of the synthesis stage: requests drawn, requests answered, instructions kept."""

from __future__ import annotations

import math

from rba.plan.basis import TEXT, VECTOR, Basis, cache
from rba.plan.device import GPU
from rba.plan.drawing import drawing
from rba.plan.item import Item, Part, Stage
from rba.services.service import is_service
from rba.synthesis.texts import read_texts


def plan_synthesis(basis: Basis) -> Stage:
    """Rounds of `shard_size` requests until as many are kept as the recipe wants, or its file of texts ends."""
    settings, lengths, assumed = basis.recipe.synthesis, basis.lengths, basis.assumed
    name, texts = basis.recipe.teacher, read_texts(settings.texts) if settings.texts else []
    decoder, batch = basis.text_lm(name), basis.batch(name, settings.batch)
    drawn = math.ceil(settings.wanted / assumed.kept / settings.shard_size) * settings.shard_size
    drawn = min(drawn, len(texts)) if texts else drawn
    answered = round(drawn * assumed.answered)
    asked = round(answered * sum(not text.response for text in texts) / len(texts)) if texts else answered

    def work(what: str, count: int, prompt: int, new: int) -> Item:
        size = (count, prompt, new)
        return basis.work(what, name, *size, drawing(decoder, *size, batch) if decoder else None)

    if texts:
        items = [Item("requests of the file", drawn)]
    else:
        items = [work("requests drawn", drawn, lengths.before(settings.query_preamble), lengths.drawn)]
    if asked:
        items.append(work("requests answered", asked, lengths.typed(settings.answer_preamble), lengths.answered))
    memory = (*basis.resident, *(basis.weights(name, "teacher") if asked else ()))
    if decoder and asked:
        longest = lengths.typed(settings.answer_preamble) + settings.answer.max_new_tokens
        rows = min(batch, drawn)
        served = is_service(name)
        held = cache(decoder, rows, longest, GPU if served else basis.local.kind)
        memory += (Part("keys and values", held, "draw", served),)
    written = drawn * lengths.drawn + answered * lengths.answered
    kept = min(settings.wanted, drawn)
    disk = TEXT * (written + kept * (lengths.request + lengths.response)) + VECTOR * kept
    return Stage("synthesis", (*items, Item("instructions kept", kept)), disk=disk, memory=memory)
