"""What the benchmarks measure with: interleaved runs, and what the cores can do meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from rba.lm.number_format import AUTO, number_format

Times = Mapping[str, Sequence[float]]

PRODUCTS = 4
MATMUL, READ = "matmul", "memory read"


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one run of each that does not count; every other round goes backwards.

    What slows the machine down for a while slows all ways down alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):
        for name, way in list(ways.items())[:: -1 if number % 2 else 1]:
            start = now()
            way()
            if number >= 0:
                seconds[name].append(now() - start)
    return seconds


def now() -> float:
    """The time in seconds, once the accelerator has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def paired_ratio(times: Times, slow: str, fast: str) -> float:
    """The median over the rounds of how many times longer `slow` took than `fast`."""
    return median(a / b for a, b in zip(times[slow], times[fast]))


def probe_size(device: torch.device, tiny: bool) -> int:
    """The side of the matrices of `probes`: large enough that nothing but their product counts."""
    if tiny:
        return 256
    return 8192 if device.type == "cuda" else 2048


def probes(device: torch.device, size: int) -> dict[str, Callable[[], object]]:
    """Two more ways to time beside those of a benchmark: what the same cores multiply and read in the same minutes."""
    left, right = (torch.randn(size, size, device=device, dtype=number_format(AUTO, device)) for _ in range(2))
    block = torch.ones(16 * size * size, device=device)  # 256 MiB or more: beyond any cache

    def multiply() -> None:
        for _ in range(PRODUCTS):
            left @ right

    return {MATMUL: multiply, READ: block.sum}


@dataclass(frozen=True)
class Machine:
    """What the cores can do: products in FLOP/s, reading from memory in bytes/s."""

    flops: float
    bytes: float

    @classmethod
    def of(cls, times: Times, size: int) -> Machine:
        """From the times of the `probes` of the same size."""
        return cls(PRODUCTS * 2 * size**3 / median(times[MATMUL]), 4 * 16 * size**2 / median(times[READ]))

    def floor(self, flops: float, moved: float = 0.0) -> float:
        """The seconds that so many FLOPs and bytes take at least: whichever binds."""
        return max(flops / self.flops, moved / self.bytes)

    def __str__(self) -> str:
        where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
        numbers = str(number_format(AUTO)).removeprefix("torch.")
        return f"{where}: {self.flops / 1e9:.0f} GFLOP/s in {numbers} products, {self.bytes / 1e9:.1f} GB/s read"
