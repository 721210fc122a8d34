"""What a training run leaves on disk while it lasts: its last state and its best weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rba import checkpoint, parallel
from rba.alignment.masters import Masters
from rba.workspace import write_bytes


class Keeper:
    """Keeps what `masters` and optimiser hold in `folder`: `last/` to go on from, `best-STEP.safetensors` to end with.

    Best weights go by the update that they came from: after a kill the last state may know of earlier ones than the
    folder, and those are the ones to end with. All processes call alike; with `parts` each writes its part of `last/`,
    else the leader alone writes.
    """

    def __init__(self, folder: Path, masters: Masters, optimizer: torch.optim.Optimizer, parts: bool = False):
        self.folder, self.masters, self.optimizer, self.parts = folder, masters, optimizer, parts

    def save(self, state: Mapping[str, Any], best: int) -> None:
        """Write weights, moments and `state` (anything JSON can hold), atomically; keep of the best those of `best`."""
        held = self.masters
        checkpoint.save(self.folder / "last", held.weights, self.optimizer, state, held.division, self.parts)
        if parallel.world().leads:
            for other in set(self.folder.glob("best-*.safetensors")) - {self._best(best)}:
                other.unlink()

    def restore(self) -> Any | None:
        """Put weights and moments back and return the `state`; None where there is nothing yet."""
        return checkpoint.load(self.folder / "last", self.masters.weights, self.optimizer, self.masters.division)

    def save_best(self, step: int) -> None:
        """Write the weights as they are now, after update `step`, whole and atomically."""
        from safetensors.torch import save

        weights = checkpoint.whole(self.masters.weights, {n: n for n in self.masters.weights}, self.masters.division)
        if parallel.world().leads:
            write_bytes(self._best(step), save(weights))

    def take_best(self, step: int) -> None:
        """Put the weights that update `step` left into the model."""
        checkpoint.read([self._best(step)], self.masters.weights, self.masters.division)
        self.masters.give()

    def _best(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"
