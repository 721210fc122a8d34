"""Word lists that come with the package: what the corpus templates and openers are filled from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Set
from functools import cache
from importlib.resources import files
from typing import Any

_IRREGULAR = {
    "child": "children", "deer": "deer", "fish": "fish", "goose": "geese", "knife": "knives", "leaf": "leaves",
    "life": "lives", "man": "men", "mouse": "mice", "ox": "oxen", "scissors": "scissors", "sheep": "sheep",
    "shelf": "shelves", "species": "species", "squid": "squid", "sunglasses": "sunglasses", "thief": "thieves",
    "wife": "wives", "wolf": "wolves", "woman": "women",
}  # fmt: skip


@cache
def words(name: str) -> tuple[str, ...]:
    """The comma separated entries of the word list `name`, e.g. "nouns"."""
    text = _text(name).replace("\n", " ")
    return tuple(word.strip() for word in text.split(",") if word.strip())


@cache
def lines(name: str) -> tuple[str, ...]:
    """The lines of the list `name`, e.g. "openers" or "templates"."""
    return tuple(line for line in _text(name).splitlines() if line.strip())


def _text(name: str) -> str:
    return (files("rba.connect") / "words" / f"{name}.txt").read_text(encoding="utf-8")


def plural(noun: str) -> str:
    """The plural of an English noun, good enough for a template."""
    head, _, last = noun.rpartition(" ")
    many = _IRREGULAR.get(last)
    if many is None and last.endswith("y") and last[-2:-1] not in "aeiou":
        many = last[:-1] + "ies"
    if many is None:
        many = last + ("es" if last.endswith(("s", "x", "z", "ch", "sh")) else "s")
    return f"{head} {many}".strip()


def article(noun: str) -> str:
    """The noun behind "a" or "an", by its first letter and sound."""
    vowel = noun[:1].lower() in "aeiou" and not noun.lower().startswith(("uni", "use", "usu", "eu", "one"))
    return ("an " if vowel or noun.lower().startswith(("hour", "honest", "heir", "8", "11 ", "18")) else "a ") + noun


@cache
def lexicon() -> frozenset[str]:
    """The words that hibari's dictionary pronounces, as they are written there."""
    import hibari

    place = files(hibari) / "assets" / "lexicon_us_gold.json.gz"
    return frozenset(json.loads(gzip.decompress(place.read_bytes())))


def inflected(word: str, known: Set[str]) -> bool:
    """Whether `word` is a known word with an ending: plural, past, -ing, -er or -ly."""
    for ending in ("s", "es", "ed", "d", "ing", "er", "ers", "ly"):
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 2:
            continue
        doubled = stem[:-1] if stem[-1] == stem[-2:-1] else stem  # stopped -> stop
        vowel = stem[:-1] + "y" if stem.endswith("i") else stem + "e"  # carried -> carry, hoping -> hope
        if known & {stem, doubled, vowel}:
            return True
    return False


def pronounced_words(tokenizer: Any) -> tuple[list[str], list[str]]:
    """Lower-case words of three or more letters in hibari's dictionary: those that are one LM token, and the others.

    A connector that speaks in the LM's own tokens hears each of them only if the corpus holds it: the first list fills
    the gaps that self-synthesis leaves in the vocabulary, the second teaches how pieces spell rare words.
    """
    single = {tokenizer.convert_ids_to_tokens(i)[1:] for i in range(len(tokenizer)) if _starts_word(tokenizer, i)}
    plain = sorted(w for w in lexicon() if len(w) >= 3 and w.isascii() and w.isalpha() and w.islower())
    return [w for w in plain if w in single], [w for w in plain if w not in single]


def _starts_word(tokenizer: Any, index: int) -> bool:
    return (tokenizer.convert_ids_to_tokens(index) or "").startswith(("Ġ", "▁"))
