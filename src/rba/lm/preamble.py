"""What stands before the first real turn of a conversation: a system turn and, at times, examples."""

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
    """A system turn ("" for the template's own) and example turns, in their order."""

    system: str = ""
    examples: tuple[Example, ...] = ()


System = str | Preamble | None
"""The system turn alone, or a whole preamble; "" and None leave it to the chat template."""


def turns(system: System) -> list[dict[str, str]]:
    """The messages of a preamble, as chat templates and chat servers take them."""
    preamble = system if isinstance(system, Preamble) else Preamble(system or "")
    messages = [{"role": "system", "content": preamble.system}] if preamble.system else []
    for example in preamble.examples:
        messages += [{"role": "user", "content": example.text}, {"role": "assistant", "content": example.response}]
    return messages
