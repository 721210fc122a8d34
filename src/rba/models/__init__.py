"""SpeechLMs: the protocol, the compact model (speech encoder + connector + causal LM), adapters, loading."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from rba.files import local

SHIPPED = "shipped"
"""The name of the SpeechLM that comes with the package."""


def shipped_folder() -> Path:
    """The compact SpeechLM that comes with the package (its connector; encoder and LLM are fetched by name)."""
    return Path(str(resources.files("rba.models") / "shipped"))


def folder_of(model: str | Path) -> Path:
    """Where a SpeechLM of this name would lie on this machine: the shipped one's folder, else the path that it is."""
    return shipped_folder() if str(model) == SHIPPED else local(model)
