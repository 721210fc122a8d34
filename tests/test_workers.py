"""Workers of a process pool never outlive the run that started them, and leave Ctrl-C to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import rba
from rba import workers

POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from rba import workers
if __name__ == "__main__":
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=workers.begin) as pool:
        first, second = pool.submit(time.sleep, 60), pool.submit(time.sleep, 60)
        while len(pool._processes) < 2 or not (first.running() and second.running()):
            time.sleep(0.01)
        time.sleep(float(sys.argv[1]))
        print(*pool._processes, flush=True)
        time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_workers_of_a_killed_run_leave(tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    environment = {**os.environ, "PYTHONPATH": str(Path(rba.__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "pool.py"), "1"]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2 and all(map(is_alive, pids))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))


def test_the_main_process_keeps_its_ctrl_c():
    before = signal.getsignal(signal.SIGINT)
    workers.begin()
    assert signal.getsignal(signal.SIGINT) is before
