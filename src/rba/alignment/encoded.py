"""Encoded speech on disk: tensors by clip in safetensors files of a thousand clips, held in memory or mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from rba.workspace import write_bytes

PIECE = 1024
"""Clips a file: what is in memory at once while a large set is encoded."""

Item = TypeVar("Item")
Made = tuple[dict[str, torch.Tensor], dict[str, str]]


class Encoded(Mapping[str, torch.Tensor]):
    """The tensors of some safetensors files by name, and their metadata joined.

    Files of at most `limit` bytes together are read at once. Of larger ones a tensor is read from the mapped file each
    time that it is asked for: the system keeps as much of the file as there is room for.
    """

    def __init__(self, places: Sequence[Path], limit: float):
        from safetensors import safe_open

        # open handles hold the maps; they close when nothing refers to them any more
        files: list[Any] = [safe_open(place, "pt").__enter__() for place in places]
        self.metadata = {key: value for file in files for key, value in (file.metadata() or {}).items()}
        self._files = {name: file for file in files for name in file.keys()}  # noqa: SIM118
        self.held = sum(place.stat().st_size for place in places) <= limit
        self._tensors: dict[str, torch.Tensor] = {}
        if self.held:
            self._tensors = {name: file.get_tensor(name) for name, file in self._files.items()}
            self._files = dict.fromkeys(self._files)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._tensors[name] if self.held else self._files[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def encoded(
    folder: Path, kind: str, items: Sequence[Item], make: Callable[[Sequence[Item]], Made], limit: float
) -> Encoded:
    """What `make` gives for all `items`, as tensors and metadata, from files `kind-NNNNN.safetensors` in `folder`.

    A file that is there is not made again; the caller answers for its being current.
    """
    from safetensors.torch import save

    places = []
    for number, start in enumerate(range(0, len(items), PIECE)):
        places.append(folder / f"{kind}-{number:05d}.safetensors")
        if not places[-1].is_file():
            tensors, metadata = make(items[start : start + PIECE])
            write_bytes(places[-1], save(tensors, metadata=metadata))
    return Encoded(places, limit)
