"""An utterance's stored acoustics in words."""

from __future__ import annotations

import json
from typing import Any

ACOUSTICS = {
    "tempo": "tempo changed",
    "room": "in a room",
    "eq": "equalised",
    "noise": "noise",
    "clip": "clipped",
    "band": "telephone band",
    "codec": "codec",
}
"""The steps that an utterance's acoustics may name, in words."""


def steps(text: str) -> dict[str, Any]:
    """The steps of stored acoustics with their values; none where the text is not a JSON object."""
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return {}
    return {k: v for k, v in values.items() if k in ACOUSTICS} if isinstance(values, dict) else {}


def in_words(text: str) -> str:
    """Stored acoustics in a few words: "in a room, babble noise, gsm codec"; "clean" for none that change the sound."""
    said = []
    for step, value in steps(text).items():
        said.append(f"{value} {ACOUSTICS[step]}" if isinstance(value, str) and value else ACOUSTICS[step])
    return ", ".join(said) or "clean"
