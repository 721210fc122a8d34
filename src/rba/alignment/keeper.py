"""What a training run leaves on disk while it lasts: its last state and its best weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rba import checkpoint
from rba.workspace import write_bytes


class Keeper:
    """Keeps trained `parameters` and optimiser in `folder`: `last/` to go on from, `best-STEP.safetensors` to end with.

    Best weights go by the update that they came from: after a kill the last state may know of earlier ones than the
    folder, and those are the ones to end with.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer):
        self.folder, self.parameters, self.optimizer = folder, parameters, optimizer

    def save(self, state: Mapping[str, Any], best: int) -> None:
        """Write weights, moments and `state` (anything JSON can hold), atomically; keep of the best those of `best`."""
        checkpoint.save(self.folder / "last", self.parameters, self.optimizer, state)
        for other in set(self.folder.glob("best-*.safetensors")) - {self._best(best)}:
            other.unlink()

    def restore(self) -> Any | None:
        """Put weights and moments back and return the `state`; None where there is nothing yet."""
        return checkpoint.load(self.folder / "last", self.parameters, self.optimizer)

    def save_best(self, step: int) -> None:
        """Write the weights as they are now, after update `step`, atomically."""
        from safetensors.torch import save

        weights = {name: p.detach().cpu().contiguous() for name, p in self.parameters.items()}
        write_bytes(self._best(step), save(weights))

    def take_best(self, step: int) -> None:
        """Put the weights that update `step` left into the model."""
        from safetensors.torch import load_file

        weights = load_file(self._best(step))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])

    def _best(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"
