"""What one prompt hears: a clip, or several in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch

from rba.errors import ModelError

Clips = torch.Tensor | Sequence[torch.Tensor]
"""Features of the one clip of a prompt [T, F], or of each of its clips, in the order in which they are heard."""
Clip = TypeVar("Clip", torch.Tensor, np.ndarray)

ONE = "one clip per prompt"
"""How the refusal of a model begins that cannot hear several in one prompt."""


def clips_of(heard: Clip | Sequence[Clip]) -> list[Clip]:
    """The clips of one prompt as a list, of a single one as well. Raises ValueError where there is none."""
    clips = list(heard) if isinstance(heard, Sequence) else [heard]
    if not clips:
        raise ValueError("a prompt hears at least one clip")
    return clips


def only_one(who: str, where: str) -> ModelError:
    """The error for several clips in a prompt of `who`, a family or a part of it; `where` names the model."""
    return ModelError(f"{ONE}: {who} takes no more", where, "ask about one recording at a time")
