"""`rba` in several processes whose stages are fakes: the second tells what it helped the first with.

With DIES in the environment the second is killed before it helps.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import fakes

from rba import parallel
from rba.cli import main


def run(*words: str) -> None:
    """Work as `rba` with these words, and end as it ends."""
    fakes.install()
    stage = sys.modules["rba.alignment.stage"]
    alone = stage.run

    def align(settings: Any, **parts: Any) -> None:
        world = parallel.world()
        if world.rank == 1 and "DIES" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        assert parallel.gathered(parts["method"]) == [parts["method"]] * 2
        if world.leads:
            alone(settings, **parts)
        else:
            print("helped with", parts["method"], flush=True)

    stage.run = align  # type: ignore[attr-defined]
    sys.exit(main(words))


if __name__ == "__main__":
    run(*sys.argv[1:])
