"""What a stage will do: items of work, what they leave on disk and need in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rba.plan.device import Device

Way = Literal["train", "draw", "read"]
Phase = Literal["", "update", "draw", "text"]


@dataclass(frozen=True)
class Pass:
    """FLOPs, bytes that have to be read meanwhile, and the way of working: updates, drawing, or passes forward."""

    flops: float
    moved: float
    way: Way


@dataclass(frozen=True)
class Item:
    """Some work: `count` of `what`, tokens read (`prompt`) and written (`new`) over all of them.

    `served` work is done behind a server; `divided` work by all devices together, other work by one. Work without known
    FLOPs takes `device_seconds` of one device, or `core_seconds` of a core. `unknown` says why nothing is counted.
    """

    what: str
    count: float
    prompt: float = 0.0
    new: float = 0.0
    passes: tuple[Pass, ...] = ()
    served: bool = False
    divided: bool = False
    device_seconds: float = 0.0
    core_seconds: float = 0.0
    unknown: str = ""

    @property
    def flops(self) -> float:
        """FLOPs of all passes."""
        return sum(one.flops for one in self.passes)

    def seconds(self, device: Device) -> float:
        """Seconds of one device."""
        return self.device_seconds + sum(device.seconds(one.flops, one.moved, one.way) for one in self.passes)


@dataclass(frozen=True)
class Part:
    """Bytes of memory: `what` takes them, on a local device or behind a server, always or in one `phase` only.

    In the phase "text" stand text LLMs that are loaded once the SpeechLM is gone.
    """

    what: str
    bytes: float
    phase: Phase = ""
    served: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage: its items, bytes left on `disk`, bytes there only while it works, hours of speech, memory."""

    name: str
    items: tuple[Item, ...] = ()
    disk: float = 0.0
    working_disk: float = 0.0
    audio_hours: float = 0.0
    memory: tuple[Part, ...] = ()

    def peak(self, served: bool) -> float:
        """The most bytes at once: what is there always, and the largest phase."""
        mine = [part for part in self.memory if part.served == served]
        phases = [sum(p.bytes for p in mine if p.phase == phase) for phase in ("update", "draw", "text")]
        return sum(p.bytes for p in mine if not p.phase) + max(phases)

    def hours(self, local: Device, server: Device) -> tuple[float, float, float]:
        """Device-hours: of local devices, of servers, and core-hours of work that no model does."""
        here = sum(item.seconds(local) for item in self.items if not item.served)
        away = sum(item.seconds(server) for item in self.items if item.served)
        return here / 3600, away / 3600, sum(item.core_seconds for item in self.items) / 3600

    def wall_hours(self, local: Device, server: Device, cores: int) -> float:
        """Hours on the clock: only divided work gains from more than one GPU; torch uses all cores for any work."""
        seconds = 0.0
        for item in self.items:
            device = server if item.served else local
            many = device.count if item.divided or item.served or device.kind != "GPU" else 1
            seconds += item.seconds(device) / many + item.core_seconds / cores
        return seconds / 3600
