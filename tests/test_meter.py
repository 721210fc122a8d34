"""What work costs: wall time and the peak memory of a process tree."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from rba import meter


def test_time_and_memory_are_measured():
    with meter.measure() as cost:
        time.sleep(0.05)
    assert 0.05 <= cost.seconds < 5
    assert cost.peak_bytes > 10 * 2**20


def test_child_processes_count(monkeypatch):
    monkeypatch.setattr(meter, "EVERY_SECONDS", 0.02)
    with meter.measure() as alone:
        time.sleep(0.05)
    hungry = "import time; block = bytearray(200 * 2**20); print(flush=True); time.sleep(30)"
    with meter.measure() as together:
        child = subprocess.Popen([sys.executable, "-c", hungry], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.1)
        child.kill()
        child.communicate()
    assert together.peak_bytes - alone.peak_bytes > 150 * 2**20


def test_a_failure_is_measured_too():
    with pytest.raises(KeyError), meter.measure() as cost:
        raise KeyError
    assert cost.seconds > 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7_500, "2 h 05 min")],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert meter.duration(seconds) == words


def test_a_cost_reads_well():
    assert str(meter.Cost(200, 3 * 2**29)) == "3 min 20 s, peak memory 1.5 GiB"
