"""How many threads this process computes with: workers elsewhere take as many, as sums may hang on it."""

from __future__ import annotations

import os


def threads() -> int:
    """`OMP_NUM_THREADS` where it is set, else torch's own choice for this machine."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdigit() and int(first):
        return int(first)
    import torch

    return torch.get_num_threads()
