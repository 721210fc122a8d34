"""Words of a text as the rewards compare them: normalised, with function words told apart from content words."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[a-z0-9]+")
_GROUPED_DIGITS = re.compile(r"(?<=\d),(?=\d{3}\b)")

_FUNCTION_WORDS = """
a about above after again all also always am an and another any are arent as at be because been before being below
between both but by can cannot cant could couldnt did didnt do does doesnt doing done dont down during each either else
etc even ever every few for from further get gets getting give given go goes going got had hadnt has hasnt have havent
having he her here hers herself hes him himself his how however i if im in into is isnt it its itself ive just keep kind
let lets like lot lots made make makes making many may maybe me might mine more most much must my myself neither no nor
not now of off often ok okay on once one only onto or other others our ours ourselves out over own per perhaps quite
rather really same say shall she shes should shouldnt so some something such sure take than that thats the their theirs
them themselves then there theres these they theyre thing things this those though through to together too under until
up upon us use used using very want was wasnt way ways we well were werent what whatever whats when where whether which
while who whom whose why will with within without wont would wouldnt yes yet you youll your youre yours yourself
yourselves youve
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


def words(text: str) -> list[str]:
    """All words in order: lower case, accents and apostrophes removed, "1,000" as "1000", split at anything else."""
    plain = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c)).replace("'", "").replace("\u2019", "")
    return _WORD.findall(_GROUPED_DIGITS.sub("", plain))


def wording(text: str) -> str:
    """A request by its words alone: two that differ in case or signs have the same wording."""
    return " ".join(words(text)) or text.strip()


def stem(word: str) -> str:
    """The word without a plural or verbal "-s", so that "cat" and "cats" agree; other endings stay."""
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def compared(answer: str, reference: str) -> tuple[set[str], set[str]]:
    """The words of an answer and of its reference that are held against each other.

    Those that carry content; all of both where the reference has nothing but function words.
    """
    wanted = words(reference)
    if any(word not in STOP_WORDS for word in wanted):
        return content_words(answer), content_words(reference)
    return {stem(word) for word in words(answer)}, {stem(word) for word in wanted}


def content_words(text: str) -> set[str]:
    """The distinct stemmed words that carry content; all words where a text has nothing but function words."""
    found = words(text)
    return {stem(w) for w in found if w not in STOP_WORDS} or {stem(w) for w in found}
