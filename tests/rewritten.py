"""Saved models changed on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def rewrite(folder: Path, drop: tuple[str, ...] = (), add: dict[str, torch.Tensor] | None = None, **keys: Any) -> Path:
    """Change a saved model: weights that go by how they begin, weights that come, keys of its configuration."""
    path = folder / "model.safetensors"
    kept = {key: value for key, value in load_file(path).items() if not key.startswith(drop or ("-",))}
    save_file({**kept, **(add or {})}, path, {"format": "pt"})
    tree = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**tree, **keys}))
    return folder
