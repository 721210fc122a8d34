"""Progress with an ETA: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rba import parallel

Item = TypeVar("Item")


class Progress(Protocol):
    """What long work calls: `advance(n)` after n items, with an optional remark shown beside the bar."""

    def advance(self, n: int = 1, remark: str = "") -> None:
        """Count n more finished items."""
        ...


class _Bar:
    def __init__(self, bar, task):
        self._bar, self._task = bar, task

    def advance(self, n: int = 1, remark: str = "") -> None:
        self._bar.update(self._task, advance=n, remark=remark)


class _Lines:
    """One line at most every `every` seconds, and one at the end."""

    def __init__(self, title: str, total: int, every: float = 10.0):
        self.title, self.total, self.every = title, total, every
        self.done, self.start, self.last = 0, time.monotonic(), time.monotonic()

    def advance(self, n: int = 1, remark: str = "") -> None:
        self.done += n
        now = time.monotonic()
        if now - self.last >= self.every or self.done >= self.total:
            self.last = now
            left = (now - self.start) / max(self.done, 1) * max(self.total - self.done, 0)
            state = f"{self.done}/{self.total}, {now - self.start:.0f} s, {left:.0f} s left"
            print(f"{self.title}: {state}{'  ' + remark if remark else ''}", file=sys.stderr, flush=True)


class _Silent:
    def advance(self, n: int = 1, remark: str = "") -> None:
        pass


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """Show the progress of `total` items: a rich bar if stderr is a terminal, else plain lines; the leader's alone."""
    if not parallel.world().leads:
        yield _Silent()
        return
    if not sys.stderr.isatty():
        yield _Lines(title, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tail = (TimeRemainingColumn(), TextColumn("{task.fields[remark]}"))
    with RichProgress(*columns, *tail, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(title, total=total, remark=""))


def batches(title: str, items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in batches of `size`; where there is more than one, their progress is shown."""
    if len(items) <= size:
        yield from [items] if items else []
        return
    with progress(title, len(items)) as bar:
        for start in range(0, len(items), size):
            yield items[start : start + size]
            bar.advance(len(items[start : start + size]))
