"""Parameters of the OpenAI interface that some of its models refuse, and how to ask without them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_NAMES = {"max_tokens": "max_completion_tokens"}  # of models that think before they answer
_IMPLIED = {"temperature": 1, "top_p": 1}  # what a model does by itself
_SPARED = ("seed", "stop_token_ids")
_REFUSED = re.compile(r"(?:Unsupported (?:parameter|value): '|Unrecognized request arguments? supplied: )(\w+)")


def refused(said: str) -> str:
    """The parameter that a server says, as OpenAI does, it does not take, or not with this value; "" for none."""
    found = _REFUSED.search(said)
    return found[1] if found else ""


def to_spare(said: str, payload: Mapping[str, Any]) -> str:
    """The parameter that a refusal in these words is of and that the request can do without; "" for none.

    A seed and numbers of tokens need only be named: servers have many words for what they do not know, and a request
    that was refused for another reason is refused without them, too.
    """
    named = (name for name in _SPARED if re.search(rf"\b{name}\b", said))
    return next((name for name in (refused(said), *named) if can_do_without(name, payload)), "")


def can_do_without(name: str, payload: Mapping[str, Any]) -> bool:
    """Whether the same can be asked without this parameter, which the request holds.

    A seed is one such: what makes a run repeatable are the answers that are kept, not what a server draws anew. The
    numbers of tokens that end a request are another where their words (`stop`) stand beside them.
    """
    if name == "stop_token_ids" and "stop" not in payload:
        return False
    return name in payload and (name in _NAMES or name in _SPARED or payload[name] == _IMPLIED.get(name))


def spelled(payload: Mapping[str, Any], without: Collection[str]) -> dict[str, Any]:
    """The request without these parameters: under their other name, or left out where they can be."""
    kept = {key for key in payload if key not in without or not can_do_without(key, payload)}
    renamed = {_NAMES[key]: payload[key] for key in _NAMES if key in payload and key not in kept}
    return {key: value for key, value in payload.items() if key in kept} | renamed
