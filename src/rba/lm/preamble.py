"""What stands before the first real turn of a conversation, and around what the user says in it."""

from __future__ import annotations

from dataclasses import dataclass

from rba.errors import RecipeError


@dataclass(frozen=True)
class Example:
    """A request and the answer to it, shown as earlier turns."""

    text: str
    response: str

    def __post_init__(self) -> None:
        """Raise RecipeError for an example that shows nothing."""
        for key in ("text", "response"):
            if not getattr(self, key).strip():
                raise RecipeError("an example needs both turns", key, "write a request and its answer")


@dataclass(frozen=True)
class Preamble:
    """A system turn ("" for the template's own) and example turns, in their order.

    In every user turn, those of the examples included, `before` and `after` stand around what is said.
    """

    system: str = ""
    examples: tuple[Example, ...] = ()
    before: str = ""
    after: str = ""


System = str | Preamble | None
"""The system turn alone, or a whole preamble; "" and None leave it to the chat template."""


def turns(system: System) -> list[dict[str, str]]:
    """The messages before the user's turn, as chat templates and chat servers take them."""
    preamble = as_preamble(system)
    messages = [{"role": "system", "content": preamble.system}] if preamble.system else []
    for example in preamble.examples:
        messages += [asked(preamble, example.text), {"role": "assistant", "content": example.response}]
    return messages


def asked(system: System, words: str) -> dict[str, str]:
    """The user's turn with `words` in it."""
    preamble = as_preamble(system)
    return {"role": "user", "content": f"{preamble.before}{words}{preamble.after}"}


def as_preamble(system: System) -> Preamble:
    """The same as a preamble; an empty one where nothing is said."""
    return system if isinstance(system, Preamble) else Preamble(system or "")
