"""One turn in an audio LM's own chat template, typed or spoken, whatever form of content the template expects."""

from __future__ import annotations

from typing import Any

from rba.errors import ModelError
from rba.lm import chat, preamble
from rba.lm.preamble import System

AUDIO = "\u2042audio\u2042"
_WORDS = "\u2042user-turn\u2042"
_FORMS = ((True, True), (True, False), (False, False))


def render(
    tokenizer: Any, words: str, system: System, audio_token: str = "", answer: str | None = None, clips: int = 1
) -> str:
    """The template's text for one user turn; `words` equal to `AUDIO` stands for a clip, or for so many `clips`.

    Content is offered as lists of parts, then with other roles' as plain text, then all as plain text, and the first
    form that survives the template is taken. Raises ModelError if none does.
    """
    spoken = words == AUDIO
    mark = audio_token if spoken else words
    place = "\n".join([mark] * clips)
    before, around = preamble.turns(system), preamble.as_preamble(system)
    parts = _parts(around, [{"type": "audio", "audio": ""}] * clips if spoken else [{"type": "text", "text": words}])
    told = [turn["content"] for turn in before] + [around.before, around.after]
    pieces = [mark, answer or "", *map(str.strip, told)]
    for user_listed, others_listed in _FORMS:
        listed = {"user": user_listed, "system": others_listed, "assistant": others_listed}
        turns: list[dict[str, Any]] = [
            {"role": turn["role"], "content": _content(turn["content"], listed[turn["role"]])} for turn in before
        ]
        turns.append({"role": "user", "content": parts if user_listed else preamble.asked(system, place)["content"]})
        if answer is not None:
            turns.append({"role": "assistant", "content": _content(answer, others_listed)})
        try:
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=answer is None)
        except Exception:  # templates raise errors of their own for a form that they do not take
            continue
        # a template made for plain text prints a list as Python would
        printed = any(str(turn["content"]) in text for turn in turns if isinstance(turn["content"], list))
        # an earlier turn that the template drops is missed like the words
        if mark and not printed and all(piece in text for piece in pieces) and text.count(mark) >= clips:
            return text
    missing = "audio" if spoken else "text"
    where = " after the turns before it" if before else " between what stands around it" if any(told) else ""
    fix = "choose an instruction-tuned checkpoint, or give its processor a chat_template that places what it is given"
    raise ModelError(f"the chat template has no place for {missing}{where}", "", fix)


def typed_ids(tokenizer: Any, text: str, system: System = None) -> list[int]:
    """Token ids of a typed request in the template, up to where the assistant begins to speak."""
    before, after = render(tokenizer, _WORDS, system).split(_WORDS)
    first = tokenizer(before, add_special_tokens=not starts_whole(tokenizer, before))["input_ids"]
    return first + chat.text_ids(tokenizer, text) + chat.text_ids(tokenizer, after)


def end_ids(tokenizer: Any, model: Any) -> list[int]:
    """The tokens that end a turn, the one that the template itself puts after an answer first."""
    found = chat.end_ids(tokenizer, model)
    own = turn_end(tokenizer)
    return found if own is None else list(dict.fromkeys([own, *found]))


def turn_end(tokenizer: Any) -> int | None:
    """The special token that the template puts right after an answer; None if it puts none."""
    try:
        after = render(tokenizer, "a", None, answer=_WORDS).split(_WORDS)[1]
    except ModelError:
        return None
    return chat.first_special(tokenizer, after)


def starts_whole(tokenizer: Any, text: str) -> bool:
    """Whether the template has written the beginning-of-text token itself."""
    return bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)


def _parts(around: preamble.Preamble, said: list[dict[str, str]]) -> list[dict[str, str]]:
    """The user's turn as a list: what is said between what stands around it; text beside text is one part."""
    before, after = around.before, around.after
    if said[0]["type"] == "text":
        return [{**said[0], "text": f"{before}{said[0]['text']}{after}"}]
    texts = [[{"type": "text", "text": text}] if text else [] for text in (before, after)]
    return [*texts[0], *said, *texts[1]]


def _content(words: str, listed: bool) -> str | list[dict[str, str]]:
    return [{"type": "text", "text": words}] if listed else words
