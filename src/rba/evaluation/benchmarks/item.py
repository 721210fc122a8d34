"""An item of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    `text` is what is asked, in words; `references` are the accepted answers, none where nothing is to be matched.
    `audio` holds the bytes of a clip, None where the text is still to be spoken. `system` is a turn of the item's own,
    such as the passage to read. `facts` is what a scorer needs beside (IFEval's checks); `where` is the place of its
    row, for messages.
    """

    id: str
    text: str
    references: tuple[str, ...] = ()
    audio: bytes | None = None
    system: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    where: str = ""
