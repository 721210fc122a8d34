"""Word errors of a transcript, after the usual normalisation of spoken English."""

from __future__ import annotations

import functools
import re
from typing import Any


@functools.lru_cache(maxsize=1)
def _normaliser() -> Any:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})


def normalise(text: str) -> str:
    """Lower-case words without punctuation, with numbers as digits ("9:30" as "930") and contractions spelled out.

    Words in brackets count as any others, since they are said.
    """
    unbracketed = re.sub(r"[()\[\]<>]", " ", text)  # with them Whisper's normaliser would drop what they hold
    words = _normaliser()(re.sub(r"(?<=\d):(?=\d)", "", unbracketed)).split()
    return " ".join(word for word in words if any(character.isalnum() for character in word))


def word_errors(wanted: str, heard: str) -> tuple[int, int]:
    """Substitutions, deletions and insertions, and the words of `wanted`, both normalised; (0, 0) where it has none."""
    import jiwer

    expected = normalise(wanted)
    if not expected:
        return 0, 0
    found = jiwer.process_words(expected, normalise(heard))
    return found.substitutions + found.deletions + found.insertions, len(expected.split())


def wer(reference: str, hypothesis: str) -> float:
    """Word error rate after normalising both, in [0, inf): 0 for two empty texts, 1 for words heard where none were."""
    missed, words = word_errors(reference, hypothesis)
    return missed / words if words else float(bool(normalise(hypothesis)))
