"""Multiple choice: which option an answer names, a letter or yes and no."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.measures import Measure, mean

_QUOTES = r"\"'*`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_MARKS = rf"{_QUOTES}_"  # of emphasis and quotes
_WORD = rf"(?<![^\W_])(?i:{{}})(?![^\W_])[{_MARKS}]*\s*"  # whole, perhaps emphasised: "**Answer** ", '"answer"'
_LINK = r"(?:(?:is|would be|:)\s*[:-]?|[-\u2013\u2014])"
_OPEN = rf"[{_MARKS}(\[]"  # what may stand before a letter
_LETTER = r"([A-H])(?![^\W_]|['\u2019][^\W_])"
# "The answer is A cat" has an article; these words cannot follow one, so "The answer is A because" names the option.
_CLAUSE = r"(?:is|was|because|since|as|and|or|but|which|while|with|in|if)\b(?![-'])"
_ARTICLE = rf"(?<=A)[ \t]+(?!{_CLAUSE})[a-z]"
_REJECTED = (
    r"\W{0,3}\s(?:is|was|seems|would|can|does)\s?(?:be\s)?(?:\w+ly\s)?(?:n?['\u2019]t|not|wrong|incorrect|false)\b"
)

_STATED = re.compile(rf"{_WORD.format('answer|option|choice')}{_LINK}(?:\s|{_OPEN})*{_LETTER}(?!{_ARTICLE})")
# A next line with a label of its own tells that the options are read out, not that the first is chosen.
_DASH = r"[-\u2013\u2014]\s"
_OPENING = re.compile(rf"\A\W*([A-H])\W*(?:[).:,]|{_DASH}|$)(?!.*\n\W*[A-H]\W*(?:[).:]|{_DASH}))", re.MULTILINE)
_RIGHT = r"(?:correct|right)\b|(?:the\s)?(?:most\s)?(?:correct|right|best|likely)\s(?:answer|option|choice|one)\b"
_DECIDED = (
    # what stands before the letter begins a clause: "Vitamin C is right" names no option
    re.compile(
        rf"(?:\A|[.,:;!?\n]|\b(?i:think|believe|that|so|therefore|thus|and|but|only))(?:\s|{_OPEN})*([A-H])[{_MARKS})\]]*"
        rf"\s(?:is|would be)\s(?:\w+ly\s)?(?:{_RIGHT})"
    ),
    re.compile(
        r"\bI(?:['\u2019](?:d|ll)|\swould|\swill)?\s(?:choose|pick|select|say|go\s(?:with|for))"
        rf"(?:\s|{_OPEN})+{_LETTER}(?!{_ARTICLE})"
    ),
)
_NAMED = re.compile(rf"{_WORD.format('answer|option|choice')}{_OPEN}*{_LETTER}(?!{_REJECTED})")
_LABEL = re.compile(rf"[{_MARKS})\]]*:")
_LINE = re.compile(r"^\W*([A-H])\W*(?:[).:,]|$)", re.MULTILINE)
_BRACKETS = re.compile(rf"[{_QUOTES}(]([A-H])[{_QUOTES})]")

_VERDICTS = (
    re.compile(rf"{_WORD.format('answer')}{_LINK}(?:\s|{_OPEN})*((?i:yes|no))\b"),
    re.compile(r"\A\W*(yes|no)\b(?!\s(?:idea|clue|doubt|one)\b)", re.IGNORECASE),
    re.compile(r"\b(yes|no)\W*\Z", re.IGNORECASE),
)
_KEY = re.compile(r"\W*(?:([A-H])(?![^\W_])|(yes|no)\W*\Z)", re.IGNORECASE)


def score(items: Sequence[Item], answers: Sequence[str]) -> dict[str, Measure]:
    """Accuracy of the chosen option; an answer that names none is wrong, and counted as `no_answer`."""
    keys = [key(item) for item in items]
    named = [verdict(answer) if wanted in ("YES", "NO") else letter(answer) for wanted, answer in zip(keys, answers)]
    right = [bool(found) and found == wanted for found, wanted in zip(named, keys)]
    return {"accuracy": mean(right), "no_answer": mean([not found for found in named], better=-1)}


def letter(answer: str) -> str:
    """The option that an answer names: after "answer is", at its beginning, as what is correct or chosen, as "option
    B", or in brackets.

    Upper-case letters alone count, and after "answer is" no A before a lower-case word, which is an article: "Answer: A
    cat". "Answer: A. cat", "Option A has it" and "The answer is A because" do name the option. An option that is said
    to be wrong is not named. "" where there is none: no letter is guessed.
    """
    clear = next((found for pattern in (_STATED, _OPENING, *_DECIDED) if (found := _found(pattern, answer))), "")
    return clear or _named(answer) or _found(_LINE, answer) or _found(_BRACKETS, answer)


def verdict(answer: str) -> str:
    """The "YES" or "NO" that an answer gives: after "answer is", as its first word or as its last; else "".

    "No idea" gives none.
    """
    return next((found for pattern in _VERDICTS if (found := _found(pattern, answer).upper())), "")


def key(item: Item) -> str:
    """The right option of an item, "A" to "H", "YES" or "NO"; "" where its reference is no such thing."""
    found = _KEY.match(item.references[0]) if item.references else None
    return (found[1] or found[2]).upper() if found else ""


def _named(answer: str) -> str:
    """The first "option B" that is not rejected; of several letters, none before a colon, which reads options out."""
    named = list(_NAMED.finditer(answer))
    if len({one[1] for one in named}) > 1:
        named = [one for one in named if not _LABEL.match(answer, one.end())]
    return named[0][1] if named else ""


def _found(pattern: re.Pattern[str], answer: str) -> str:
    found = pattern.search(answer)
    return found[1] if found else ""
