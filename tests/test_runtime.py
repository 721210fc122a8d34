"""The process's threads and memory."""

import os
import subprocess
import sys

from rba import runtime

FAULTS = """
import resource, sys
if sys.argv[1] == "kept":
    from rba import runtime
    runtime.prepare()
import numpy as np
def once(): return np.ones(5_000_000).sum()
once()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): once()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def printed(code: str, *arguments: str) -> int:
    """The number that a fresh process prints."""
    return int(subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True).stdout)


def test_threads_spin_briefly_and_the_users_choice_stays(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    runtime.prepare()
    assert os.environ["GOMP_SPINCOUNT"] == str(runtime.SPINS)
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    runtime.prepare()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_large_blocks_are_kept():
    fresh, kept = (printed(FAULTS, how) for how in ("fresh", "kept"))
    assert kept <= fresh and kept < 1000  # ten times 40 MB are 97,000 pages of 4 KiB


HELD = """
from rba import runtime
runtime.prepare()
import numpy as np
import psutil
resident = lambda: psutil.Process().memory_info().rss
blocks = [np.ones(5_000_000) for _ in range(10)]
del blocks
before = resident()
runtime.give_back()
print(before - resident())
"""


def test_what_is_kept_can_be_given_back():
    assert printed(HELD) > 300_000_000  # of 400 MB
