"""Checks of an answer's form: paragraphs, lists, sections, marks."""

from __future__ import annotations

import re
from typing import Any

_CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def number_paragraphs(answer: str, num_paragraphs: int, **_: Any) -> bool:
    """Exactly so many paragraphs between lines of ***; one in the middle must not be empty."""
    parts = re.split(r"\s?\*\*\*\s?", answer)
    if any(not part.strip() for part in parts[1:-1]):
        return False
    return sum(bool(part.strip()) for part in parts) == num_paragraphs


def nth_paragraph_first_word(answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str, **_: Any) -> bool:
    """Exactly so many paragraphs between blank lines, of which the n-th begins with this word."""
    parts = answer.split("\n\n")
    if sum(bool(part.strip()) for part in parts) != num_paragraphs or not 1 <= nth_paragraph <= num_paragraphs:
        return False
    found = parts[nth_paragraph - 1].split()
    return bool(found) and re.split(r"[.,?!'\"]", found[0].lstrip("'").lstrip('"'))[0].lower() == first_word.lower()


def number_placeholders(answer: str, num_placeholders: int, **_: Any) -> bool:
    """At least so many [placeholders]."""
    return len(re.findall(r"\[.*?\]", answer)) >= num_placeholders


def postscript(answer: str, postscript_marker: str, **_: Any) -> bool:
    """A postscript after this marker; spaces within P.S. and P.P.S do not matter."""
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    pattern = patterns.get(postscript_marker.strip(), re.escape(postscript_marker.strip().lower()))
    return re.search(pattern, answer.lower()) is not None


def number_bullets(answer: str, num_bullets: int, **_: Any) -> bool:
    """Exactly so many lines that begin with * or -."""
    stars = re.findall(r"^\s*\*[^*].*$", answer, re.MULTILINE)
    return len(stars) + len(re.findall(r"^\s*-.*$", answer, re.MULTILINE)) == num_bullets


def constrained_response(answer: str, **_: Any) -> bool:
    """One of the three sentences that the prompt offers."""
    return any(choice in answer for choice in _CHOICES)


def number_highlights(answer: str, num_highlights: int, **_: Any) -> bool:
    """At least so many *highlighted* or **highlighted** pieces."""
    found = re.findall(r"\*[^\n*]*\*", answer) + re.findall(r"\*\*[^\n*]*\*\*", answer)
    return sum(bool(piece.strip("*").strip()) for piece in found) >= num_highlights


def multiple_sections(answer: str, section_spliter: str, num_sections: int, **_: Any) -> bool:
    """At least so many sections, each headed by this word and a number."""
    return len(re.findall(rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?", answer)) >= num_sections


def title(answer: str, **_: Any) -> bool:
    """A <<title>>."""
    return any(found.strip("<>").strip() for found in re.findall(r"<<[^\n]+>>", answer))


def two_responses(answer: str, **_: Any) -> bool:
    """Two different answers between ******."""
    parts = answer.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    kept = [part.strip() for part in parts if part.strip()]
    return len(kept) == 2 and kept[0] != kept[1]


def quotation(answer: str, **_: Any) -> bool:
    """The whole answer stands in double quotes."""
    said = answer.strip()
    return len(said) > 1 and said[0] == said[-1] == '"'
