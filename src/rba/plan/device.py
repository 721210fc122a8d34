"""What work is done on: GPUs or cores, how fast they multiply and read, and how much of that is reached."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rba.plan.assumptions import Assumptions

GPU, CORE = "GPU", "core"
WAYS = {"train": "in updates", "draw": "in drawing", "read": "in passes forward"}
"""The ways of working, in words."""


@dataclass(frozen=True)
class Device:
    """`count` alike devices of a `kind`; `flops` (FLOP/s), `bandwidth` and `memory` (bytes) are of each.

    `reached` is the share of these rates that a way of working reaches, by its name.
    """

    kind: str
    count: int
    flops: float
    bandwidth: float
    memory: float = 0.0
    reached: dict[str, float] = field(default_factory=dict)

    def seconds(self, flops: float, moved: float, way: str) -> float:
        """Seconds of one device: products or reading, whichever binds, over the share that is reached."""
        return max(flops / self.flops, moved / self.bandwidth) / self.reached[way]

    def calibrated(self, flops: float, bandwidth: float, reached: dict[str, float]) -> Device:
        """The same with rates that were measured."""
        return replace(self, flops=flops, bandwidth=bandwidth, reached={**self.reached, **reached})


def gpus(count: int, assumed: Assumptions, tflops: float | None = None) -> Device:
    """GPUs that work for this process."""
    rate, read = (tflops or assumed.gpu_tflops) * 1e12, assumed.gpu_gbs * 1e9
    reached = _reached(assumed) | {"train": assumed.gpu_train_reached}
    return Device(GPU, count, rate, read, assumed.gpu_gib * 2**30, reached)


def cores(count: int, memory: float, assumed: Assumptions, tflops: float | None = None) -> Device:
    """CPU cores of this machine, which share `memory` bytes."""
    rate, read = (tflops or assumed.core_tflops) * 1e12, assumed.core_gbs * 1e9
    return Device(CORE, count, rate, read, memory, _reached(assumed))


def servers(assumed: Assumptions) -> Device:
    """GPUs behind the servers that a recipe names, wherever they are."""
    served = assumed.served_reached
    rates = (assumed.gpu_tflops * 1e12, assumed.gpu_gbs * 1e9, assumed.gpu_gib * 2**30)
    return Device(GPU, assumed.server_gpus, *rates, {"draw": served, "read": served})


def _reached(assumed: Assumptions) -> dict[str, float]:
    return {"train": assumed.train_reached, "draw": assumed.draw_reached, "read": assumed.read_reached}
