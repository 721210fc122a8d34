"""How a worker process behaves when its parent stops: it leaves, whether the parent was interrupted or killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import Any


def begin() -> None:
    """Call first in the initialiser of a process pool; does nothing in the main process.

    Ctrl-C is left to the parent, which ends the pool in order. A parent that was killed cannot: without this its
    workers would wait for it forever.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), name="rba-follow-parent", daemon=True).start()


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
