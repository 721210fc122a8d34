"""Which requests are kept: named predicates on the text, each true where the request must go."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable

from rba.synthesis import patterns
from rba.synthesis.language import is_english
from rba.synthesis.settings import SynthesisSettings

Predicate = Callable[[str, SynthesisSettings], bool]


def _plain(text: str) -> str:
    """Accents off Latin letters, so that "café" counts as sayable and Cyrillic does not."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def too_short(text: str, settings: SynthesisSettings) -> bool:
    """Fewer than `min_words` words."""
    return len(text.split()) < settings.min_words


def too_long(text: str, settings: SynthesisSettings) -> bool:
    """More than `max_words` words or `max_chars` characters."""
    return len(text.split()) > settings.max_words or len(text) > settings.max_chars


def markup(text: str, settings: SynthesisSettings) -> bool:
    """Line breaks, markdown, list bullets, tables, tags."""
    return bool(patterns.MARKUP.search(text))


def address(text: str, settings: SynthesisSettings) -> bool:
    """Web and mail addresses."""
    return bool(patterns.ADDRESS.search(text))


def code(text: str, settings: SynthesisSettings) -> bool:
    """Code, or a request for code, a data set or a spreadsheet."""
    return bool(patterns.CODE_SIGN.search(text) or patterns.CODE_WORD.search(text))


def maths(text: str, settings: SynthesisSettings) -> bool:
    """LaTeX, formulas, sums in words, or many figures: the paper's "complex maths"."""
    figures = sum(any(c.isdigit() for c in word) for word in text.split())
    heavy = figures >= 4 or sum(c.isdigit() for c in text) > 0.12 * len(text) + 4
    return heavy or bool(patterns.LATEX.search(text) or patterns.MATHS_WORD.search(text))


def not_sayable(text: str, settings: SynthesisSettings) -> bool:
    """Other scripts, signs and strings that a voice cannot say."""
    plain = _plain(text)
    return not patterns.SAYABLE.fullmatch(plain) or bool(patterns.UNSAYABLE.search(plain))


def not_english(text: str, settings: SynthesisSettings) -> bool:
    """Too few English function words; see `language.is_english`."""
    return not is_english(text)


def assistant_side(text: str, settings: SynthesisSettings) -> bool:
    """What an assistant would say, not a user."""
    return bool(patterns.ASSISTANT.search(text))


def missing_material(text: str, settings: SynthesisSettings) -> bool:
    """Speaks of a text, table or picture that nobody can hear, or ends before it comes."""
    return bool(patterns.MISSING.search(text))


def editing(text: str, settings: SynthesisSettings) -> bool:
    """Editing and translating requests: the tag that the paper's eight topics leave out."""
    return bool(patterns.EDIT.search(text))


def no_request(text: str, settings: SynthesisSettings) -> bool:
    """Neither asks, tells to do something, nor speaks of the speaker or the listener."""
    return not patterns.ASKS.search(text)


def example(text: str, settings: SynthesisSettings) -> bool:
    """One of the examples that the teacher was shown, word for word."""
    said = re.findall(r"\w+", text.lower())
    return any(said == re.findall(r"\w+", shown.text.lower()) for shown in settings.examples)


def loops(text: str, settings: SynthesisSettings) -> bool:
    """Says the same three words again, or hardly any different words."""
    return is_looping(text)


def is_looping(text: str, size: int = 3) -> bool:
    """Whether `size` running words come back more than once per 40 words, or under four in ten words are different."""
    words = re.findall(r"[\w']+", text.lower())
    if len(words) < 2 * size:
        return False
    runs = Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1))
    repeats = sum(n - 1 for n in runs.values())
    return repeats > max(1, len(words) // 40) or len(set(words)) < 0.4 * min(len(words), 60)


FILTERS: dict[str, Predicate] = {
    "too short": too_short,
    "too long": too_long,
    "markup": markup,
    "address": address,
    "code": code,
    "maths": maths,
    "not sayable": not_sayable,
    "not English": not_english,
    "assistant side": assistant_side,
    "missing material": missing_material,
    "editing": editing,
    "no request": no_request,
    "example": example,
    "loops": loops,
}
"""Drop reasons and their predicates, in the order in which they are tried."""

OF_REQUESTS = frozenset({"assistant side", "missing material", "editing", "no request"})
"""Those that ask whether a text is a request; texts of a file need be none."""


def why_dropped(text: str, finished: bool, settings: SynthesisSettings) -> str:
    """The first reason to drop a request, "" to keep it. `finished` False means that it was cut at `query_tokens`."""
    if not finished:
        return "not ended"
    spared = OF_REQUESTS if settings.texts else frozenset()
    return next((reason for reason, drops in FILTERS.items() if reason not in spared and drops(text, settings)), "")
