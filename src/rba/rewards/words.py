"""Words of a text as the rewards compare them: normalised, with function words told apart from content words."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[a-z0-9]+")
_GROUPED_DIGITS = re.compile(r"(?<=\d),(?=\d{3}\b)")

STOP_WORDS = frozenset(
    """
    a about above after again all also always am an and another any are as at be because been before being below
    between both but by can cannot could did do does doing done down during each either else etc even ever every few
    for from further get gets getting give given go goes going got had has have having he her here hers herself him
    himself his how however i if in into is it its itself just keep kind let lets like ll lot lots made make makes
    making many may maybe me might mine more most much must my myself neither no nor not now of off often ok okay on
    once one only onto or other others our ours ourselves out over own per perhaps quite rather re really s same say
    shall she should so some something such sure t take than that the their theirs them themselves then there these
    they thing things this those though through to together too under until up upon us use used using ve very want
    was way ways we well were what whatever when where whether which while who whom whose why will with within
    without would yes yet you your yours yourself yourselves d m don doesn didn isn aren wasn weren won wouldn couldn
    shouldn hasn haven hadn ain
    """.split()
)


def words(text: str) -> list[str]:
    """All words in order: lower case, accents and apostrophes removed, "1,000" as "1000", split at anything else."""
    plain = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c)).replace("'", "").replace("\u2019", "")
    return _WORD.findall(_GROUPED_DIGITS.sub("", plain))


def stem(word: str) -> str:
    """The word without a plural or verbal "-s", so that "cat" and "cats" agree; other endings stay."""
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def content_words(text: str) -> set[str]:
    """The distinct stemmed words that carry content; all words where a text has nothing but function words."""
    found = words(text)
    return {stem(w) for w in found if w not in STOP_WORDS} or {stem(w) for w in found}
