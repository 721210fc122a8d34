"""How much memory this process holds, and held at most: resident memory, or the accelerator's if there is one."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import psutil
import torch


def resident() -> int:
    """Bytes held now."""
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss


def reset_peak() -> None:
    """Let the peak begin anew, where the system can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif (place := Path("/proc/self/clear_refs")).exists():
        place.write_text("5")


def peak() -> int:
    """The most bytes held since `reset_peak`; where that can do nothing, ever.

    Not `ru_maxrss` where there is another way: on Linux it may begin with the size of the parent process.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
