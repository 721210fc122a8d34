"""Words, tokens and sentences as IFEval counts them, and its two comparisons."""

from __future__ import annotations

import re

_SHORT = r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)(?<!\bMrs)(?<!\bProf)(?<!\be\.g)(?<!\bi\.e)(?<!\b[A-Z])"
_END = re.compile(rf"{_SHORT}[.!?]+[\"')\]*]*(?=\s|$)")


def sentences(text: str) -> list[str]:
    """The sentences of a text: they end at . ! or ? before a space, except after initials and common abbreviations."""
    pieces, start = [], 0
    for match in _END.finditer(text):
        pieces.append(text[start : match.end()])
        start = match.end()
    return [piece for piece in (*pieces, text[start:]) if re.search(r"\w", piece)]


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores."""
    return re.findall(r"\w+", text)


def tokens(text: str) -> list[str]:
    """Words with the hyphens and apostrophes within them."""
    return re.findall(r"\w+(?:[-'\u2019.]\w+)*", text)


def related(count: int, relation: str, bound: int) -> bool:
    """Whether "at least" or "less than" holds. Raises ValueError for another relation."""
    if relation == "at least":
        return count >= bound
    if relation == "less than":
        return count < bound
    raise ValueError(f"no such relation: {relation}")
