"""What a training run leaves on disk while it lasts: its last state and its best weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rba import checkpoint
from rba.workspace import write_bytes


class Keeper:
    """Keeps trained `parameters` and optimiser in `folder`: `last/` to go on from, `best.safetensors` to end with."""

    def __init__(self, folder: Path, parameters: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer):
        self.folder, self.parameters, self.optimizer = folder, parameters, optimizer

    def save(self, state: Mapping[str, Any]) -> None:
        """Write weights, moments and `state` (anything JSON can hold), atomically."""
        checkpoint.save(self.folder / "last", self.parameters, self.optimizer, state)

    def restore(self) -> Any | None:
        """Put weights and moments back and return the `state`; None where there is nothing yet."""
        return checkpoint.load(self.folder / "last", self.parameters, self.optimizer)

    def save_best(self) -> None:
        """Write the weights as they are now, atomically."""
        from safetensors.torch import save

        weights = {name: p.detach().cpu().contiguous() for name, p in self.parameters.items()}
        write_bytes(self.folder / "best.safetensors", save(weights))

    def take_best(self) -> None:
        """Put the weights of the last `save_best` into the model."""
        from safetensors.torch import load_file

        weights = load_file(self.folder / "best.safetensors")
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])
