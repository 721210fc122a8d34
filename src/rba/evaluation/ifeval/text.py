"""Words, tokens and sentences as IFEval counts them, and its two comparisons."""

from __future__ import annotations

import re

RELATIONS = ("at least", "less than")
_ABBREVIATIONS = ("mr", "ms", "dr", "st", "jr", "v", "vs", "mrs", "prof", "e\\.g", "i\\.e")
_SHORT = "".join(rf"(?<!(?<!['’/])\b(?i:{short}))" for short in _ABBREVIATIONS) + r"(?<!(?<!['’/])\b[A-HJ-Z])"
_GOES_ON = r"(?!(?<=\d)\.\s+[a-z])(?!\.\.+\s+[a-z(])"
_END = re.compile(rf"(?<![.!?]){_SHORT}{_GOES_ON}[.!?]+[\"')\]*_:;]*(?=\s|$)")
_CLITIC = re.compile(r"n't\b|'(?:s|m|d|ll|re|ve)\b", re.IGNORECASE)
_DASHES = re.compile(r"--+|\.\.+")
_TOKEN = re.compile(r"[^\s,:;@#$%&?!*()\[\]{}<>\"`“”‘’«»–—]+")


def sentences(text: str) -> list[str]:
    """The sentences of a text: they end at . ! or ? before a space.

    Not so after initials, common abbreviations and the number of a list's item that goes on in lowercase; dots that do
    so end none either.
    """
    pieces, start = [], 0
    for match in _END.finditer(text):
        pieces.append(text[start : match.end()])
        start = match.end()
    return [piece for piece in (*pieces, text[start:]) if re.search(r"\w", piece)]


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores."""
    return re.findall(r"\w+", text)


def tokens(text: str) -> list[str]:
    """Words with the hyphens, slashes, dots and apostrophes within them; the 'm of I'm and n't are tokens apart."""
    return _TOKEN.findall(_CLITIC.sub(r" \g<0>", _DASHES.sub(" ", text)))


def related(count: int, relation: str, bound: int) -> bool:
    """Whether "at least" or "less than" holds. Raises ValueError for another relation."""
    if relation == "at least":
        return count >= bound
    if relation == "less than":
        return count < bound
    raise ValueError(f"no such relation: {relation}")
