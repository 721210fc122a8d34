"""Progress: plain lines with the time left in a log, bars on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import rba
from rba import progress as progress_module
from rba.progress import batches, progress

NESTED = """
from rba.progress import progress
with progress("outer", 2) as outer:
    with progress("inner", 1) as inner:
        inner.advance(remark="loss 1.2")
    outer.advance(2)
"""


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    with progress("speech", 40) as bar:
        for _ in range(40):
            clock[0] += 1
            bar.advance(remark="fine")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "speech: 10/40, 10 s, 30 s left  fine"
    assert lines[-1] == "speech: 40/40, 40 s, 0 s left  fine"
    assert len(lines) == 4


def test_batches_hold_everything_in_order_and_are_shown_where_there_are_several(capsys):
    assert [list(part) for part in batches("judging", range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert "judging: 7/7" in capsys.readouterr().err
    assert [list(part) for part in batches("judging", range(3), 3)] == [[0, 1, 2]]
    assert list(batches("judging", [], 3)) == []
    assert capsys.readouterr().err == ""


def test_an_error_inside_is_passed_on():
    try:
        with progress("speech", 2):
            raise KeyError
    except KeyError:
        return
    raise AssertionError("the error was swallowed")


def test_a_terminal_gets_bars_also_within_each_other():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(rba.__file__).parents[1]), "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", NESTED], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other side has closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait() == 0
    assert b"outer" in shown and b"inner" in shown and b"2/2" in shown and b"Traceback" not in shown
