"""Accents: phoneme rewriting before synthesis, a free and seedable way to make speech more varied.

Phonemes are Kokoro's alphabet (A = day, I = my, O = go, W = now, Y = boy, Q = British go, T = flapped t, ᵊ = faint
schwa). Every replacement is a symbol of US English, the only one the voice was trained on. They are caricatures of
accents, of use because a listener must learn not to depend on one pronunciation.
"""

from __future__ import annotations

import re

from rba.data import seeds

_VOWELS = "æɑɔəɛɜɪiʊuʌɐᵊAIOWY"
_END = r"(?=[\s,.;:!?…—\"”)]|$)"

# One entry per change of sound; the accents below are lists of these.
RULES: dict[str, tuple[str, str]] = {
    "unflap": ("T", "t"),
    "full schwa": ("ᵊ", "ə"),
    "careful articles": (r"(?<![^\s])(ð)ə(?=\s)", r"\1i"),
    "level stress": ("ˌ", ""),
    "th to s": ("θ", "s"),
    "th to t": ("θ", "t"),
    "th to f": ("θ", "f"),
    "dh to z": ("ð", "z"),
    "dh to d": ("ð", "d"),
    "w to v": ("w", "v"),
    "v to w": ("v", "w"),
    "v to b": ("v", "b"),
    "z to s": ("z", "s"),
    "drop h": ("h", ""),
    "soften affricates": ("ʧ", "ʃ"),
    "soften j": ("ʤ", "ʒ"),
    "final devoicing": (rf"([bdɡvz]){_END}", r"\1"),
    "tense i": ("ɪ", "i"),
    "tense u": ("ʊ", "u"),
    "raise a": ("æ", "ɛ"),
    "back a": ("æ", "ɑ"),
    "back u": ("ʌ", "ɑ"),
    "broad schwa": (r"ə(?!ɹ)", "ɑ"),
    "s cluster": (r"(^|\s)s(?=[ptkmnl])", r"\1ɛs"),
    "tapped r": (rf"(?<=[{_VOWELS}])ɹ(?=[ˈˌ]?[{_VOWELS}])", "T"),
    "final l to r": (rf"l{_END}", "ɹ"),
    "monophthong day": ("A", "ɛ"),
    "monophthong go": ("O", "ɔ"),
    "drop r after ɜ": ("ɜɹ", "ɜ"),
    "drop coda r": (rf"ɹ(?![ˈˌ]?[{_VOWELS}])", ""),
    "short vowels": ("ː", ""),
    "l to r": ("l", "ɹ"),
    "f to p": ("f", "p"),
    "z to j": ("z", "ʤ"),
    "british lot": ("ɒ", "ɔ"),
    "british goat": ("Q", "O"),
    "british trap": (r"a(?![ɪʊ])", "æ"),
}

ACCENTS: dict[str, tuple[str, ...]] = {
    "us": (),
    "gb": ("short vowels", "british lot", "british goat", "british trap"),
    "nonrhotic": ("drop r after ɜ", "drop coda r"),
    "careful": ("unflap", "full schwa", "careful articles"),
    "flat": ("unflap", "level stress"),
    "london": ("th to f", "drop h", "drop coda r"),
    "in": ("unflap", "w to v", "th to t", "dh to d", "tapped r", "raise a", "full schwa", "monophthong go"),
    "es": ("unflap", "th to s", "dh to d", "z to s", "tense i", "tense u", "back a", "back u", "v to b", "s cluster"),
    "de": ("unflap", "w to v", "th to s", "dh to z", "raise a", "final devoicing"),
    "fr": ("unflap", "drop h", "th to s", "dh to z", "tense i", "soften affricates", "soften j", "back u"),
    "ru": ("unflap", "w to v", "th to s", "dh to z", "tense i", "raise a", "broad schwa", "final devoicing"),
    "zh": ("unflap", "th to s", "dh to d", "tense i", "v to w", "final l to r", "final devoicing"),
    "ng": ("unflap", "th to t", "dh to d", "tense i", "tense u", "back u", "monophthong day", "monophthong go"),
}

# For evaluation alone: no speaker of the bank has one of these.
RESERVED: dict[str, tuple[str, ...]] = {
    "it": ("unflap", "th to t", "dh to d", "tense i", "tense u", "raise a", "drop h", "back u", "full schwa"),
    "kr": ("unflap", "z to j", "f to p", "v to b", "th to s", "dh to d", "tense i", "final l to r"),
    "jp": ("unflap", "l to r", "th to s", "dh to z", "v to b", "back a", "tense u", "broad schwa"),
    "scots": ("tapped r", "short vowels", "monophthong day", "monophthong go", "tense u"),
}

# Share of speakers with each accent.
MIX: dict[str, float] = {
    **{"us": 0.30, "gb": 0.12, "nonrhotic": 0.07, "careful": 0.06, "flat": 0.05, "london": 0.04},
    **{"in": 0.08, "es": 0.06, "de": 0.06, "fr": 0.05, "ru": 0.04, "zh": 0.04, "ng": 0.03},
}

# Spoken from the British lexicon. Its rules only map British symbols to trained ones, so they always all apply.
BRITISH = frozenset({"gb"})

_DEVOICED = str.maketrans("bdɡvz", "ptkfs")
_COMPILED = {name: (re.compile(pattern), repl) for name, (pattern, repl) in RULES.items()}


def active_rules(accent: str, strength: float, seed: int) -> tuple[str, ...]:
    """The rules of `accent` that a speaker has: each is kept with probability `strength`, decided by `seed`.

    A speaker keeps the same rules in every utterance. Raises KeyError for an unknown accent.
    """
    rules = ACCENTS[accent] if accent in ACCENTS else RESERVED[accent]
    if accent in BRITISH:
        return rules
    draws = seeds.rng("accent", accent, seed).random(len(rules))
    return tuple(rule for rule, draw in zip(rules, draws) if draw < strength)


def rewrite(phonemes: str, rules: tuple[str, ...]) -> str:
    """Apply the named rules to a phoneme string, in order."""
    for name in rules:
        pattern, replacement = _COMPILED[name]
        if name == "final devoicing":
            phonemes = pattern.sub(lambda match: match[1].translate(_DEVOICED), phonemes)
        else:
            phonemes = pattern.sub(replacement, phonemes)
    return phonemes
