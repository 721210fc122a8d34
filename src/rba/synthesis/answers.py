"""The teacher's answers: which are kept, and how one that ran on is cut."""

from __future__ import annotations

import re

from rba.lm.task import ENGLISH
from rba.synthesis.filters import is_looping
from rba.synthesis.language import is_english, stays_english
from rba.teachers.teacher import Reply

LEAST_TRIMMED = 4

_SENTENCE_END = re.compile(
    r"(?<![0-9])(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Dr|St|vs))(?<!Mrs)(?<!e\.g)(?<!i\.e)[.!?][\"')]*(?=\s|$)"
)
_WORD = re.compile(r"\w")


def trimmed(text: str) -> str:
    """The text up to its last whole sentence, "" if it has none of at least four words."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    cut = text[: ends[-1]].strip() if ends else ""
    return cut if len(cut.split()) >= LEAST_TRIMMED else ""


def settled(reply: Reply, long_answers: str) -> str:
    """The answer to keep: as it is if finished; else trimmed, or "" where run-on answers are dropped."""
    if reply.finished:
        return reply.text.strip()
    return trimmed(reply.text) if long_answers == "trim" else ""


def why_dropped(request: str, reply: Reply, long_answers: str, most_words: int = 0, language: str = ENGLISH) -> str:
    """The reason to drop an instruction for its answer, "" to keep it.

    An answer has at most `most_words` words (0: any number); where that is asked, names need not look English. One that
    should be in another `language` must not be.
    """
    text = settled(reply, long_answers)
    if not _WORD.search(reply.text):
        return "empty answer"
    if not text:
        return "runaway answer"
    if _same_words(text) == _same_words(request):
        return "echoing answer"
    if is_looping(text, size=6):
        return "looping answer"
    words = len(text.split())
    if most_words and words > most_words:
        return "long answer"
    if language != ENGLISH:
        return "answer in English" if stays_english(text) else ""
    return "" if is_english(text) or words < LEAST_TRIMMED or most_words else "answer not English"


def _same_words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
