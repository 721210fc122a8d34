"""Calling plain and coroutine functions together."""

import asyncio
import subprocess
import sys
import threading
from functools import partial

import pytest

from rba.rewards.calls import call_all, is_async


async def double(x):
    await asyncio.sleep(0)
    return 2 * x


class Doubler:
    async def __call__(self, x):
        return 2 * x


def test_coroutine_functions_are_known_before_they_are_called():
    assert is_async(double) and is_async(Doubler()) and is_async(partial(partial(double), 3))
    assert not is_async(len) and not is_async(lambda x: x) and not is_async(Doubler)


def test_results_come_in_order_and_a_failure_is_a_value():
    async def fail():
        raise KeyError("late")

    def plain():
        raise ZeroDivisionError

    found = call_all([partial(double, 1), lambda: 5, fail, plain, partial(Doubler(), 4), lambda: double(10)])
    assert found[:2] + found[4:] == [2, 5, 8, 20]
    assert isinstance(found[2], KeyError) and isinstance(found[3], ZeroDivisionError)


def test_coroutines_run_at_once_and_beside_plain_functions():
    met, done = asyncio.Event(), threading.Event()

    async def waits():
        await met.wait()
        done.set()
        return "waited"

    async def wakes():
        met.set()
        return "woke"

    def plain():
        assert done.wait(30)  # only if the coroutines ran while this one blocks the caller
        return "plain"

    assert call_all([waits, plain, wakes]) == ["waited", "plain", "woke"]


def test_all_calls_share_one_loop_so_that_connections_live_on():
    async def loop():
        return asyncio.get_running_loop()

    assert len({*call_all([loop, loop]), *call_all([loop])}) == 1


def test_it_works_inside_a_running_loop_as_in_a_notebook():
    async def cell():
        return call_all([partial(double, 3)])

    assert asyncio.run(cell()) == [6]


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt])
def test_a_coroutine_that_would_exit_fails_alone_and_the_loop_lives_on(leave):
    code = f"""
from rba.rewards.calls import call_all
async def leaves():
    raise {leave.__name__}(3)
async def stays():
    return 1
print(call_all([leaves, stays]), call_all([stays]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert f"RuntimeError('a reward must not end the program ({leave.__name__} 3)'), 1] [1]" in done.stdout


def test_a_plain_function_that_would_exit_has_failed():
    (found,) = call_all([sys.exit])
    assert isinstance(found, RuntimeError)
