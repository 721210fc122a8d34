"""Answers that say the model did not hear: "could you repeat that?", "as a text-based assistant", "no audio"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_NOT = r"(?:\bnot|n['\u2019]?t|\bunable to|\bnever)"
_SOUND = r"(?:audio|recording|sound ?clip|voice (?:message|note|recording|input)|speech input)"
_SAID = r"(?:you\b|(?:what|that|it|your|the (?:question|request|rest|last)|anything)\b|clearly\b|[.!?,]|$)"
_PATTERNS = (
    rf"\bi\b[^.?!]{{0,25}}{_NOT} (?:quite |really |actually |able to |be able to )*(?:hear|listen to)"
    rf"(?: {_SAID}|[.!?,]|$| {_SOUND})",
    rf"\bi\b[^.?!]{{0,25}}{_NOT} (?:quite |really |fully )*(?:catch|make out) (?:you|what you|your|that)\b",
    rf"\bi\b[^.?!]{{0,15}}{_NOT} have (?:the |an? )?(?:\w+ )?(?:ability|capability|way|ears?)\b[^.?!]{{0,15}}"
    rf"(?:to|for) (?:hear|listen)",
    rf"\bi\b[^.?!]{{0,20}}{_NOT} (?:\w+ ){{0,2}}(?:process|understand|play|access|analy[sz]e|perceive|interpret)"
    rf"[^.?!]{{0,25}}\b{_SOUND}",
    r"\b(?:can|could|would|will) you (?:please |kindly |just )?(?:repeat|say (?:that|it) again|rephrase|restate|"
    r"speak (?:up|louder|more (?:clearly|slowly)))\b",
    r"\bplease (?:repeat|rephrase|restate|say (?:that|it) again|speak (?:up|louder|more clearly))\b"
    r"(?! (?:after|this|these|the following))",
    rf"\b(?:no|without|missing|empty|inaudible|unclear) {_SOUND}\b[^.?!]{{0,30}}"
    r"(?:provided|attached|received|found|given|included|detected|to\b|in your|here|[.!?]|$)",
    rf"\b(?:there (?:is|was|seems to be|appears to be)|i (?:received|see|got|have)) no {_SOUND}\b",
    rf"\b{_SOUND} (?:is|was|seems|appears)(?: to be)? (?:\w+ )?"
    r"(?:unclear|inaudible|missing|empty|cut off|silent|garbled)\b",
    r"\b(?:please|could you|can you|if you)\b[^.?!]{0,15}\b(?:provide|upload|send|share|attach|resend)\b"
    rf"[^.?!]{{0,20}}\b{_SOUND}\b",
    r"\bas an? (?:text|language)[- ](?:based|only)\b",
    r"\b(?:i am|i['\u2019]m|being) (?:only )?an? text[- ](?:based|only)\b",
    r"\bi (?:only|can only) (?:\w+ )?(?:process|understand|read|work with|respond to|handle) (?:\w+ )?text\b",
    r"\byour? (?:message|question|request|input|speech)(?: \w+)? (?:is|was|seems|appears)(?: to (?:be|have been))? "
    r"(?:\w+ )?(?:unclear|inaudible|garbled|cut off|incomplete|empty|blank)\b",
    r"\b(?:i['\u2019]m|i am) not (?:quite )?sure what you (?:said|are saying|just said|meant to say)\b",
)
_DEAF = re.compile("|".join(f"(?:{p})" for p in _PATTERNS), re.IGNORECASE)


def did_not_hear(answer: str) -> bool:
    """Whether the answer says that the request was not heard, or that its speaker cannot hear at all.

    English patterns, made for replies to a spoken request. They look for the speaker's own hearing (first person, or a
    request to repeat), so that advice such as "say it again slowly" or a story about deafness passes.
    """
    return _DEAF.search(answer) is not None


class DidNotHear:
    """1 for an answer that did not hear, else 0: a penalty with a negative weight, and a rate in evaluation."""

    name = "deaf"

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One value in {0, 1} per completion; references are not looked at."""
        return [float(did_not_hear(answer)) for answer in completions]
