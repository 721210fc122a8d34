"""Seeds derived from names, so that no result depends on order, worker count or a restart."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(*parts: object) -> int:
    """A stable 63-bit seed from any printable parts, e.g. `derive(recipe_seed, "speaker", item_id)`."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def rng(*parts: object) -> np.random.Generator:
    """A numpy generator seeded by `derive(*parts)`."""
    return np.random.default_rng(derive(*parts))
