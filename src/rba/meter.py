"""What a piece of work costs: wall time and peak memory, worker processes included."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

EVERY_SECONDS = 0.5


@dataclass
class Cost:
    """Wall `seconds` and the highest resident memory seen, in bytes, summed over this process and its children."""

    seconds: float = 0.0
    peak_bytes: int = 0

    def __str__(self) -> str:
        return f"{duration(self.seconds)}, peak memory {self.peak_bytes / 2**30:.1f} GiB"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "41 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@contextlib.contextmanager
def measure() -> Iterator[Cost]:
    """Measure the body of a `with`; the `Cost` is filled in when it ends, also by an error."""
    cost, start, stop = Cost(), time.monotonic(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(cost, stop), name="rba-meter", daemon=True)
    watcher.start()
    try:
        yield cost
    finally:
        stop.set()
        watcher.join()
        cost.seconds = time.monotonic() - start


def _watch(cost: Cost, stop: threading.Event) -> None:
    import psutil

    this = psutil.Process()
    while True:
        cost.peak_bytes = max(cost.peak_bytes, _resident(this))
        if stop.wait(EVERY_SECONDS):
            cost.peak_bytes = max(cost.peak_bytes, _resident(this))
            return


def _resident(process) -> int:
    """Resident bytes of a process tree; a child that ends meanwhile counts as nothing."""
    import psutil

    total = 0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total
