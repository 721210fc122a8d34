"""Calling rewards: plain functions here, coroutine functions at once in one event loop beside them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine: an `async def`, or an object whose `__call__` is one."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def call_all(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each call returns, in order, or the exception that it raised; one that would exit is a RuntimeError.

    Coroutines are started first and run while the plain functions do, which are called one after another.
    """
    started = [_submit(call()) if is_async(call) else None for call in calls]
    return [_outcome(call if future is None else future.result) for call, future in zip(calls, started)]


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        found = call()
        # a plain function may hand back a coroutine, such as a lambda around an async one
        return _submit(found).result() if inspect.iscoroutine(found) else found
    except SystemExit as error:
        return _exit(error)
    except Exception as error:
        return error


def _submit(coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
    return asyncio.run_coroutine_threadsafe(_without_exit(coroutine), _loop())


async def _without_exit(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The same, but for what would stop the loop, and with it every other coroutine's answer."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise _exit(error) from error


def _exit(error: BaseException) -> RuntimeError:
    return RuntimeError(f"a reward must not end the program ({type(error).__name__} {error})")


@functools.lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for the life of the process, so that a reward's open connections outlive a call."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="async rewards", daemon=True).start()
    return loop
