"""Is a text English? A test by the share of English function words: no model, a few microseconds."""

from __future__ import annotations

import re
import unicodedata

LEAST_SHARE = 0.2
SHORT = 4

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")

_ENGLISH_ONLY = """
    about after again all and any anything are aren't because been before being between both but by can can't
    compare could describe did didn't does doesn't don't down each even ever every explain feel few for from get
    give has have haven't having help here him his how how's i'd i'm i've if into isn't it it's its just know let's
    like make many might more most much must my myself need never now off one only other our out own please
    recommend she should since some someone something suggest tell than that that's the their them then there
    there's these they thing things think this those through to today too under until up us using very want wasn't
    were what what's when where where's which while who who's whose why will with without won't would write yes yet
    you you're your yourself
"""
_SHARED = "a am an as at be do had he her i in is me name no not of on or over so such was we"

ENGLISH_ONLY = frozenset(_ENGLISH_ONLY.split())
"""Frequent English words without a topic, and the verbs that requests begin with, foreign to the other languages."""

SHARED = frozenset(_SHARED.split())
"""English function words that German, French, Spanish, Italian, Portuguese or Dutch write too."""


def function_share(text: str) -> float:
    """The share of a text's words that are English function words, 0 for a text without words."""
    words = _words(text)
    return sum(w in ENGLISH_ONLY or w in SHARED for w in words) / len(words) if words else 0.0


def is_english(text: str) -> bool:
    """True if a fifth of the words are English function words and one of them is no word of its neighbour languages.

    Running English has about 45 % of them. Texts under four words pass if they hold plain Latin letters.
    """
    words = _words(text)
    if len(words) < SHORT:
        return bool(words) and all(unicodedata.normalize("NFKD", w)[0].isascii() for w in words)
    return function_share(text) >= LEAST_SHARE and any(w in ENGLISH_ONLY for w in words)


def stays_english(text: str) -> bool:
    """True if a text that should be in another language reads as English: two words or more, and a fifth, are its own.

    Stricter than `is_english`, since single ones ("has", "can") are words elsewhere, too.
    """
    words = _words(text)
    own = sum(w in ENGLISH_ONLY for w in words)
    return own >= 2 and own >= LEAST_SHARE * len(words)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("\u2019", "'"))
