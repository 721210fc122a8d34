"""Which split an instruction belongs to: decided by its id before any speech exists, near relatives together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rba.data.seeds import derive
from rba.synthesis.duplicates import KeptTexts

NEAR_TWO, NEAR_FULL, SURPLUS = "near two splits", "near a full split", "surplus"


class Splitter:
    """Hands instructions to train, validation and test until each holds its quota.

    An instruction with kept relatives nearer than `distance` joins their split, so that no test instruction has one in
    train. Where they sit in two splits, or in one that is full, it is dropped. Any other goes by a hash of its id.
    """

    def __init__(self, quotas: Mapping[str, int], distance: float, seed: int):
        self.quotas, self.distance, self.seed = dict(quotas), distance, seed
        self.left = dict(quotas)

    @property
    def done(self) -> bool:
        """Whether every quota is met."""
        return not any(self.left.values())

    def place(self, item_id: str, vector_D: np.ndarray, kept: KeptTexts) -> tuple[str, str]:
        """The split of an instruction and "", or "" and the reason to drop it. Takes a place of the quota."""
        if self.done:
            return "", SURPLUS
        relatives = kept.labels_within(vector_D, self.distance)
        if len(relatives) > 1:
            return "", NEAR_TWO
        split = next(iter(relatives)) if relatives else self._by_hash(item_id)
        if not self.left[split]:
            return "", NEAR_FULL
        self.left[split] -= 1
        return split, ""

    def take(self, split: str) -> None:
        """Count an instruction that was placed before a restart."""
        self.left[split] -= 1

    def _by_hash(self, item_id: str) -> str:
        """A split that still has room, with a chance in proportion to its quota."""
        names = [name for name in self.quotas if self.left[name]]
        shares = np.cumsum([self.quotas[name] for name in names])
        point = derive(self.seed, "split", item_id) / 2**63 * shares[-1]
        return names[min(int(np.searchsorted(shares, point, side="right")), len(names) - 1)]
