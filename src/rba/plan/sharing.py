"""Which self-samples and rewards the methods and variants of a run share, and which one makes for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rba import config
from rba.alignment.objectives.objective import Objective
from rba.alignment.variants import REWARDED_BY, SAMPLED_BY
from rba.plan.basis import Basis
from rba.workspace import fingerprint

HEARD_BY = ("dtype", "quantize", "train_connector")
"""Settings that the encoded speech depends on, and with it what is shared."""


@dataclass(frozen=True)
class Kind:
    """What is kept of a round: answers to speech, or to `typed` requests; with `terms`, their rewards.

    `terms` are the rewards that the objective adds to the recipe's, by name and weight; None: the answers themselves.
    """

    typed: bool
    terms: tuple[tuple[str, float], ...] | None = None


def kinds(objective: Objective) -> frozenset[Kind]:
    """What is kept of every round of an objective; nothing for one without self-samples."""
    if not objective.needs_samples:
        return frozenset()
    ways = (False, True) if objective.needs_typed else (False,)
    rewards = [tuple(sorted(objective.reward_terms.items()))] if objective.needs_rewards else []
    return frozenset(Kind(typed, terms) for typed in ways for terms in (None, *rewards))


def held_out(basis: Basis) -> int:
    """Validation instructions whose speech is encoded."""
    settings = basis.recipe.align
    used = max(
        settings.validation.groups if settings.validation.every else 0,
        settings.adaptive.drift_answers if settings.adaptive.drift_every else 0,
    )
    return min(used, basis.recipe.synthesis.validation)


class Shared:
    """The shared folders of self-samples of the initial model, as `rba.alignment.stage` makes and removes them."""

    def __init__(self) -> None:
        self._folders: dict[str, frozenset[tuple[Kind, str]]] = {}

    def missing(self, basis: Basis, wanted: frozenset[Kind], name: str, method: str) -> frozenset[Kind]:
        """What of `wanted` the training called `name` has to make, once those before it are done.

        What is called as its method makes the shared folder and removes those of other settings. A variant of another
        name uses the folder if it is there, and adds what it lacks; else it makes all of it for itself.
        """
        if not wanted or basis.recipe.align.refresh != "once":
            return wanted
        mark, valued_by = _mark(basis, (*SAMPLED_BY, *HEARD_BY), held_out(basis)), _mark(basis, REWARDED_BY)
        if name == method:
            self._folders = {mark: self._folders.get(mark, frozenset())}
        if mark not in self._folders:
            return wanted
        kept = self._folders[mark]
        files = {kind: (kind, "" if kind.terms is None else valued_by) for kind in wanted}
        self._folders[mark] = kept | frozenset(files.values())
        return frozenset(kind for kind, file in files.items() if file not in kept)


def _mark(basis: Basis, keys: Sequence[str], *facts: Any) -> str:
    """What something depends on, as far as variants can change it: these settings, and `facts`."""
    tree = config.to_tree(basis.recipe.align)
    return fingerprint({key: tree[key] for key in keys}, *facts)
