"""How this process uses the machine: threads that wait a moment before they sleep, and memory that is kept."""

from __future__ import annotations

import ctypes
import os

SPINS = 20_000  # tens of microseconds
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = (1 << 30, 1 << 25)  # bytes; the second for C libraries that refuse more than 32 MiB


def prepare() -> None:
    """Set up threads and memory, before torch is imported; what the user has set in the environment stays.

    Threads that sleep at once leave a second core idle through the small products of decoding; threads that spin long
    starve whatever else runs: they spin a little. Blocks of tens of megabytes come back from the C library page by
    page, at the cost of a fifth of a training step: they are kept for the next use.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    if not any(name.startswith("MALLOC_") for name in os.environ):
        _keep_memory()


def give_back() -> None:
    """Return to the machine what glibc's malloc keeps but nothing uses.

    Work of another kind needs blocks of other sizes. Answers are the worst: they grow token by token, each step leaves
    blocks that are too small for the next, and what is kept comes to gigabytes.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return


def _keep_memory() -> None:
    """Let glibc's malloc reuse large blocks; nothing happens with other C libraries."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for size in _KEPT:
        if mallopt(_M_MMAP_THRESHOLD, size):
            break
    mallopt(_M_TRIM_THRESHOLD, _KEPT[0])
