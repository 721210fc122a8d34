"""Where synthesis and speech are done. Importing this loads nothing heavy: Ray is an optional dependency."""

from __future__ import annotations

from dataclasses import dataclass, field

from rba.errors import RecipeError


@dataclass(frozen=True)
class Workers:
    """A stage's workers on a Ray cluster, and what Ray sets aside for each; nothing here changes a result."""

    count: int = 0  # workers; 0: as many as the cluster has room for when the stage begins
    cpus: float = 1.0  # CPU cores for each
    gpus: float = 0.0  # GPUs for each, at most 1; with 0.5 two of them share one

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        _check(self.count >= 0, "count", "give 0 or more")
        _check(self.cpus >= 0, "cpus", "give 0 or more")
        _check(0 <= self.gpus <= 1, "gpus", "give 0 to 1: a worker computes on one GPU")
        _check(self.cpus + self.gpus > 0, "cpus", "a worker needs a share of something")

    def __str__(self) -> str:
        """What each is given, for messages."""
        return " and ".join(f"{n:g} {unit}" for n, unit in ((self.cpus, "CPU"), (self.gpus, "GPU")) if n)


@dataclass(frozen=True)
class RaySettings:
    """The cluster that `executor: ray` works on, and its workers by stage."""

    address: str = ""  # host:port of its head; empty: RAY_ADDRESS, else one started here
    synthesis: Workers = field(default_factory=Workers)  # each holds the teacher
    speech: Workers = field(default_factory=Workers)  # each holds the speech engine


def _check(good: bool, key: str, fix: str) -> None:
    if not good:
        raise RecipeError("this value cannot work", key, fix)
