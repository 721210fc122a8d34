"""Processes of a pool: each makes its work function once; they leave at once where their parent stops or is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from rba.errors import ProcessError, RbaError

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def pooled(
    make: Callable[[], Callable[[Item], Result]], count: int, died: ProcessError
) -> Iterator[Callable[[Item], Future[Result]]]:
    """What hands an item to one of `count` processes, each of which has called `make()` once for its work function.

    The result raises what the work function raises, and RbaError for what `make` could not load. At an error in the
    block, Ctrl-C among them, the processes leave at once, whatever they are at; what they have written stays. Raises
    `died` where one of them dies.
    """
    context = get_context("spawn")
    staying, leaving = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(count, context, _begin, (make, staying))
    try:
        yield lambda item: pool.submit(_work, item)
    except BrokenProcessPool as error:
        raise died from error
    except BaseException:
        leaving.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        leaving.close()
        staying.close()


_made: Callable[[Any], Any] | RbaError | None = None
"""The work function of this process, or why there is none."""


def _begin(make: Callable[[], Callable[[Any], Any]], staying: Connection) -> None:
    """The initialiser of a process. Ctrl-C is left to its parent, which ends the pool in order."""
    global _made
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow(staying)
    try:
        _made = make()
    except RbaError as error:  # an initialiser that raises is printed, and breaks the pool without a reason
        _made = error


def follow(staying: Connection) -> None:
    """From now on this process leaves at once where the other end of `staying` is closed, or its holder killed."""
    threading.Thread(target=_leave_with, args=(staying,), name="rba-follow-parent", daemon=True).start()


def _leave_with(staying: Connection) -> None:
    """End this process where its parent closes the other end, or is killed: it would wait for it forever."""
    staying.poll(None)
    os._exit(1)


def _work(item: Any) -> Any:
    assert _made is not None, "_begin() comes first"
    if isinstance(_made, RbaError):
        raise _made
    return _made(item)
