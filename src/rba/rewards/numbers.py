"""English number words in digits."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SMALL = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
"""
_TENS = """
twenty thirty forty fifty sixty seventy eighty ninety
"""
_VALUES = {word: n for n, word in enumerate(_SMALL.split())}
_VALUES |= {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_DIGITS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def join_numbers(words: Sequence[str]) -> list[str]:
    """The words with each run of number words as one number: "one hundred and five" is "105", "minus two" is "-2".

    Digits may carry a scale ("3 million"); "3.0" becomes "3". A number word that does not go on the one before it, such
    as the second of "nineteen eighty", begins another number.
    """
    found: list[str] = []
    i = 0
    while i < len(words):
        signed = words[i] in ("minus", "negative")
        value, end = _read(words, i + signed)
        if end > i + signed:
            found.append(f"-{value}" if signed and not value.startswith("-") else value)
            i = end
        else:
            found.append(words[i])
            i += 1
    return found


def _read(words: Sequence[str], start: int) -> tuple[str, int]:
    """The number that begins at `start` and where it ends; it ends at `start` where there is none."""
    if start >= len(words) or not _DIGITS.fullmatch(words[start]):
        return _read_words(words, start)
    value = words[start]
    if start + 1 < len(words) and words[start + 1] in _SCALES:
        return _plain(f"{float(value) * _SCALES[words[start + 1]]:.6f}"), start + 2
    return _plain(value), start + 1


def _read_words(words: Sequence[str], start: int) -> tuple[str, int]:
    """The same for number words: `total` holds whole thousands, `part` what follows them, below a thousand."""
    total, part, end = 0, 0, start
    fresh = True  # nothing of `part` was said yet
    for i in range(start, len(words)):
        word = words[i]
        if word == "and" and ((part and part % 100 == 0) or (total and fresh)):
            continue
        if word in _VALUES and (fresh or _fits(part, _VALUES[word])):
            part, fresh = part + _VALUES[word], False
        elif word == "hundred" and part < 10 and (part or (fresh and i == start)):
            part, fresh = 100 * (part or 1), False
        elif word in _SCALES and (part or i == start) and total % (1000 * _SCALES[word]) == 0:
            total, part, fresh = total + (part or 1) * _SCALES[word], 0, True
        else:
            break
        end = i + 1
    return str(total + part), end


def _fits(part: int, value: int) -> bool:
    """Whether `value` may follow `part` within one number: after hundreds anything, after tens a digit."""
    if part and part % 100 == 0:
        return value > 0
    return part % 100 >= 20 and part % 10 == 0 and 0 < value < 10


def _plain(digits: str) -> str:
    """Digits without a decimal part that says nothing."""
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
