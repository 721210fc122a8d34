"""Processes that begin with torch, transformers and peft loaded: their imports take a new one six seconds.

A server that has done nothing but import them forks them. Beyond that they are as new: each has an environment, outputs
and an end of its own, and none has seen what the tests have done.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
PATHS = f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}"


def fork(
    function: Callable[..., Any],
    *args: Any,
    said: Path,
    errors: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> ForkServerProcess:
    """Start `function(*args)`, found by its module and name, in a process of its own.

    What it says is added to the file `said`, what it says to stderr to `errors`, where that is given. Its environment
    is this one with `environment` over it.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["loaded"])
    with patch.dict(os.environ, PYTHONPATH=PATHS):  # nothing else tells the server where to find it
        forkserver.ensure_running()
    full = {**os.environ, "PYTHONPATH": PATHS, **(environment or {})}
    process = context.Process(target=_work, args=(function, args, (str(said), str(errors or said)), full))
    process.start()
    return process


def as_ranks(count: int) -> list[dict[str, str]]:
    """What a launcher puts into the environments of `count` processes of one machine, so that they meet."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": str(count)}
    return [{**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def fork_ranks(function: Callable[..., Any], *args: Any, count: int, said: Path) -> list[ForkServerProcess]:
    """Start it in `count` processes that work together as those of a launcher do."""
    return [fork(function, *args, said=said, environment=rank) for rank in as_ranks(count)]


def ended(processes: list[ForkServerProcess], seconds: float = 600) -> list[int | None]:
    """The exit codes of processes, once all have ended; None for one that has not in time."""
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def free_port() -> str:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _work(
    function: Callable[..., Any], args: tuple[Any, ...], outputs: tuple[str, str], environment: dict[str, str]
) -> None:
    for stream, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), stream)
    os.environ.clear()
    os.environ.update(environment)
    function(*args)
