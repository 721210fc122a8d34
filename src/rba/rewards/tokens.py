"""Words of a short answer in any script, normalised so that two ways of writing the same thing agree."""

from __future__ import annotations

import re
import unicodedata

from rba.rewards.numbers import join_numbers

_ARTICLES = frozenset({"a", "an", "the"})
_GROUPED_DIGITS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_ACCENTED = ("LATIN ", "GREEK ", "CYRILLIC ")
_TOKEN = re.compile(rf"[{_IDEOGRAPHS}]|(?:(?<!\w)-)?\d+\.\d+|(?:(?<!\w)-(?=\d))?(?:(?![{_IDEOGRAPHS}])\w)+")


def tokens(text: str) -> list[str]:
    """All words in order: case, accents, apostrophes and punctuation gone; "1,000" is "1000", "U.S." is "us".

    Chinese characters and kana stand alone, as those scripts do not mark where words end. Marks are accents on Latin,
    Greek and Cyrillic letters; in other scripts they are sounds of their own, and stay.
    """
    plain = unicodedata.normalize("NFKC", _without_accents(text.casefold().replace("\u2212", "-")))
    plain = plain.replace("'", "").replace("\u2019", "")
    plain = _INITIALS.sub(lambda found: found[0].replace(".", ""), _GROUPED_DIGITS.sub("", plain))
    letters = "".join("x" if unicodedata.category(c) in ("Mn", "Mc") else c for c in plain)  # a mark ends no word
    return [plain[found.start() : found.end()] for found in _TOKEN.finditer(letters)]


def _without_accents(text: str) -> str:
    kept, accented = [], False
    for character in unicodedata.normalize("NFKD", text):
        if unicodedata.combining(character) and accented:
            continue
        accented = unicodedata.name(character, "").startswith(_ACCENTED)
        kept.append(character)
    return "".join(kept)


def answer_tokens(text: str) -> list[str]:
    """`tokens` as question answering compares them: without articles, numbers in digits ("twenty-one" is "21")."""
    return join_numbers([token for token in tokens(text) if token not in _ARTICLES])
