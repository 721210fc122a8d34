"""Requests by pre-query self-synthesis, in rounds that are a pure function of their index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product

from rba.data.seeds import derive, rng
from rba.lm.sampling import Sampling
from rba.synthesis.settings import SynthesisSettings
from rba.teachers.teacher import Teacher

_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "...", "\u00a0": " "})


@dataclass(frozen=True)
class Query:
    """A request as the teacher wrote it, tidied, with how it was drawn."""

    text: str
    finished: bool
    opener: str
    sampling: Sampling


@cache
def openers() -> tuple[str, ...]:
    """First words for requests of small teachers, e.g. "How do I"."""
    text = (files("rba.synthesis") / "openers.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def grid(settings: SynthesisSettings, seed: int) -> list[Sampling]:
    """The sampling grid in seeded order; round i uses cell i modulo its length."""
    cells = [Sampling(t, p, settings.query_tokens) for t, p in product(settings.temperatures, settings.top_ps)]
    return [cells[i] for i in rng(seed, "grid").permutation(len(cells))]


def tidy(text: str) -> str:
    """Plain quotes and single spaces, no quotes around the whole; line breaks stay, for the filters to see."""
    text = "\n".join(" ".join(line.split()) for line in text.translate(_QUOTES).strip().splitlines())
    if len(text) > 2 and text[0] == text[-1] == '"' and text.count('"') == 2:
        text = text[1:-1].strip()
    return text


def draw_queries(teacher: Teacher, settings: SynthesisSettings, seed: int, index: int) -> list[Query]:
    """The requests of round `index`: only the pre-query template, and for a share of them seeded first words."""
    cells = grid(settings, seed)
    sampling = cells[index % len(cells)]
    seeds = [derive(seed, "query", index, i) for i in range(settings.shard_size)]
    first = _first_words(settings, seed, index)
    replies = teacher.sample_queries(seeds, settings.query_preamble, sampling, first)
    written = [(tidy(r.text), r.finished) for r in replies]
    if settings.first_line:
        written = [(text.partition("\n")[0], finished or "\n" in text) for text, finished in written]
    return [Query(text, finished, opener, sampling) for (text, finished), opener in zip(written, first)]


def _first_words(settings: SynthesisSettings, seed: int, index: int) -> list[str]:
    """First words per request of a round, "" for the unseeded; an even spread over the list."""
    seeded = round(settings.openers * settings.shard_size)
    words = settings.first_words or openers()
    order = rng(seed, "openers", index).permutation(len(words))
    return [words[order[i % len(order)]] if i < seeded else "" for i in range(settings.shard_size)]
