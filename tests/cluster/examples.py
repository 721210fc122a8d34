"""Work for a pool's workers: each class makes a work function when it is called without arguments."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from rba.errors import AudioError


@dataclass(frozen=True)
class Together:
    """Who did it, and twice the number; nobody goes on before `count` processes are at work."""

    marks: Path
    count: int

    def __call__(self):
        return self.work

    def work(self, number: int) -> tuple[int, int]:
        """The process and the result."""
        (self.marks / str(os.getpid())).touch()
        while len(list(self.marks.iterdir())) < self.count:
            time.sleep(0.02)
        return os.getpid(), 2 * number


@dataclass(frozen=True)
class Mortal:
    """Twice the number; the worker that comes to `last` is killed there, `times` times in all."""

    marks: Path
    last: int
    times: int

    def __call__(self):
        return self.work

    def work(self, number: int) -> int:
        """The result, if it comes to that."""
        deaths = len(list(self.marks.iterdir()))
        if number == self.last and deaths < self.times:
            (self.marks / str(deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number


@dataclass(frozen=True)
class Faulty:
    """Raises `error` at work, or at its start."""

    error: Exception
    at_start: bool = False

    def __call__(self):
        if self.at_start:
            raise self.error
        return self.work

    def work(self, number: int) -> int:
        """Nothing, ever."""
        raise self.error


UNSPEAKABLE = AudioError("text cannot be spoken", "item 3", "leave it out")
