"""Chat frames read off the tokenizer's own template: what stands before and after what the user says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rba.errors import ModelError
from rba.lm.preamble import System, asked, turns

_SENTINEL = "\u2042user-turn\u2042"


def frame(tokenizer: Any, system: System = None) -> tuple[list[int], list[int]]:
    """Token ids before the user's words and from their end to where the assistant begins to speak.

    Typed and spoken requests are both put between the same two pieces, so that they differ in nothing else. Raises
    ModelError for a template that refuses what it is given, or leaves some of it out.
    """
    messages = [*turns(system), asked(system, _SENTINEL)]
    name, fix = tokenizer.name_or_path, "leave that turn out, or choose a model whose template has a place for it"
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # templates raise errors of their own for a form that they do not take
        roles = " and ".join(dict.fromkeys(message["role"] for message in messages))
        raise ModelError(f"the chat template refuses the turns of {roles}: {error}", name, fix) from error
    missing = [message["role"] for message in messages if message["content"].strip() not in text]
    if missing or text.count(_SENTINEL) != 1:
        raise ModelError(f"the chat template has no one place for the turn of {(missing or ['user'])[0]}", name, fix)
    before, after = text.split(_SENTINEL)
    return text_ids(tokenizer, before), text_ids(tokenizer, after)


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """The token ids of a text as it stands, nothing put before or after it."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def prequery_ids(tokenizer: Any, system: System = None) -> list[int]:
    """The pre-query template: everything up to where the user's words would begin (RBA section on self-synthesis)."""
    return frame(tokenizer, system)[0]


def prompt_ids(tokenizer: Any, text: str, system: System = None) -> list[int]:
    """A typed request in its chat frame, ready for the answer."""
    before, after = frame(tokenizer, system)
    return before + text_ids(tokenizer, text) + after


def response_ids(tokenizer: Any, text: str, end_id: int | None) -> list[int]:
    """An answer's tokens followed by the end-of-turn token (none for a truncated answer: `end_id` None)."""
    return text_ids(tokenizer, text) + ([] if end_id is None else [end_id])


def turn_end(tokenizer: Any) -> int | None:
    """The special token that the chat template puts right after an answer; None if it puts none."""
    answered = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _SENTINEL}]
    try:
        text = tokenizer.apply_chat_template(answered, tokenize=False)
    except Exception:  # templates raise errors of their own for a form that they do not take
        return None
    return first_special(tokenizer, text.partition(_SENTINEL)[2])


def first_special(tokenizer: Any, text: str) -> int | None:
    """The special token that a text begins with; None if it begins with another."""
    ids = text_ids(tokenizer, text)
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return ids[0] if ids and ids[0] in special else None


def end_ids(tokenizer: Any, model: Any = None) -> list[int]:
    """The tokens that end a turn; the first is the one an answer is trained to end with.

    That is what the chat template puts after an answer: the tokenizer's own end may be that of a whole text.
    """
    found = [turn_end(tokenizer), tokenizer.eos_token_id]
    config = getattr(model, "generation_config", None)
    extra = getattr(config, "eos_token_id", None)
    found += extra if isinstance(extra, list) else [extra]
    return list(dict.fromkeys(i for i in found if i is not None))


def taught_end(ends: Sequence[int], name: str) -> int:
    """The token that an answer is trained, and scored, to end with: the first of `ends`, those of the model `name`.

    Raises ModelError where there is none.
    """
    if not ends:
        fix = "choose an instruction-tuned model, or name its end token: eos_token in tokenizer_config.json"
        raise ModelError("the model has no token that ends a turn", name, fix)
    return ends[0]
