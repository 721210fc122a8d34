"""Workers of a process pool make their work function once, and never outlive the block that asked for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import rba
from rba.errors import ModelError, ProcessError
from rba.workers import pooled

DIED = ProcessError("a worker died", "2 workers", "try again")
SLEEPERS = """
import os, signal, time
from rba.errors import ProcessError
from rba.workers import pooled

def sleeper():
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece, beside what the other worker writes
    return time.sleep

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background of a script are born without
    with pooled(sleeper, 2, ProcessError("died")) as submit:
        for waiting in [submit(60) for _ in range(9)]:
            waiting.result()
"""


def adder(start: int) -> Callable[[int], int]:
    """A work function that adds to `start`; none for a negative one."""
    if start < 0:
        raise ModelError("cannot add", str(start), "give 0 or more")
    return start.__add__


def leaver() -> Callable[[int], None]:
    """A work function that its process does not survive."""
    return os._exit


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process whose two workers have begun to sleep for a minute, and their ids."""
    (tmp_path / "pool.py").write_text(SLEEPERS)
    environment = {**os.environ, "PYTHONPATH": str(Path(rba.__file__).parents[1])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "pool.py")], text=True, env=environment, **pipes)
    assert parent.stdout is not None
    yield parent, [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.communicate()


def gone(pids: list[int]) -> bool:
    """Whether these processes leave within some seconds."""
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_alive, pids))


def test_every_process_makes_its_work_function_and_results_are_its_own():
    with pooled(partial(adder, 40), 2, DIED) as submit:
        assert [done.result() for done in [submit(item) for item in range(4)]] == [40, 41, 42, 43]


def test_what_a_process_could_not_load_is_raised_where_it_is_asked():
    with pytest.raises(ModelError, match=r"cannot add \(-1\); give 0"), pooled(partial(adder, -1), 2, DIED) as submit:
        submit(1).result()


def test_a_process_that_dies_is_told():
    with pytest.raises(ProcessError, match="a worker died"), pooled(leaver, 1, DIED) as submit:
        submit(3).result()


def test_the_workers_of_a_killed_run_leave(asleep):
    parent, pids = asleep
    assert all(map(is_alive, pids))
    parent.kill()
    parent.wait()
    assert gone(pids)


def test_ctrl_c_waits_for_no_work_under_way(asleep):
    """The terminal sends it to the workers, too, which leave it to their parent."""
    parent, pids = asleep
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert all(map(is_alive, pids))
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=20)
    assert parent.returncode and said.rstrip().endswith("KeyboardInterrupt") and said.count("Traceback") == 1
    assert gone(pids)
