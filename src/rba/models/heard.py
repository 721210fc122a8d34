"""Which texts a checkpoint's connector was trained on: a file beside its weights, which goes with the connector."""

from __future__ import annotations

from pathlib import Path

from rba.files import write_bytes
from rba.models import folder_of

HEARD = "heard_texts.npy"
"""In a checkpoint folder: ids of the texts that its connector was trained on (uint64)."""


def carry_heard(start: str | Path, folder: Path) -> None:
    """Give the checkpoint in `folder`, which began as the SpeechLM `start`, the listing that `start` has.

    Nothing is done where `start` has none, or where `folder` is not there or has one. Raises WorkspaceError where the
    disk refuses.
    """
    listing = folder_of(start) / HEARD
    if listing.is_file() and folder.is_dir() and not (folder / HEARD).exists():
        write_bytes(folder / HEARD, listing.read_bytes())
