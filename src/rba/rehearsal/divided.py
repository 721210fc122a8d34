"""The alignment of a dry run in two processes of its own, on the CPU, as `torchrun` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from rba import document, errors, runtime
from rba.errors import ProcessError, RbaError
from rba.files import write_json, write_text
from rba.meter import duration
from rba.named import trainings
from rba.pipeline import run
from rba.recipe import Recipe, load_recipe
from rba.workers import follow

PROCESSES = 2
PATIENCE = 1800.0
"""Seconds within which the processes have to end; what takes them longest is to load torch."""
PARTING = 60.0
"""Seconds that torchrun has to end them; it gives them half of that itself."""


def is_divided(recipe: Recipe) -> bool:
    """Whether any training of a recipe divides the LLM among processes."""
    return any(settings.sharding != "none" for settings in trainings(recipe).values())


def align(recipe: Recipe, place: Path) -> None:
    """Align in processes that share the recipe's run folder; `place` is a new folder for what they are told and say.

    They end with this one, however it ends. Raises the RbaError of the one whose fault it is, RuntimeError with all
    that was printed where one ended otherwise, ProcessError where they go on for longer than `PATIENCE`.
    """
    place.mkdir(parents=True)
    write_text(place / "recipe.yaml", recipe.to_yaml())
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    command = [sys.executable, "-m", *launcher, "-m", __name__, str(place)]
    # two processes cannot share a GPU
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    if _code(command, env, place / "said.txt"):
        said = (place / "said.txt").read_text(errors="replace")
        raise fault(place) or RuntimeError(f"processes that divided the LLM ended:\n{said}")


def _code(command: list[str], env: dict[str, str], said: Path) -> int:
    """The exit code of a command, which prints to the file `said`; it has ended whatever happens meanwhile."""
    with (
        said.open("w") as out,
        # all of them inherit the input: it closes with this process (see `follow`)
        subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT) as launcher,
    ):
        try:
            return launcher.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            what = f"the processes that divide the LLM have not ended within {duration(PATIENCE)}"
            fix = "they may wait for each other: set align.sharding=none to drive the other stages"
            raise ProcessError(what, "align.sharding", fix) from error
        finally:
            _end(launcher)


def _end(launcher: subprocess.Popen[bytes]) -> None:
    """End torchrun, and with it what it has started; nothing happens where it has ended."""
    assert launcher.stdin
    launcher.stdin.close()
    launcher.terminate()
    try:
        launcher.wait(PARTING)
    except subprocess.TimeoutExpired:
        launcher.kill()


def fault(place: Path) -> RbaError | None:
    """What a process has left in `place`: rather a fault of its own than that another one has ended."""
    left = [document.read(path) for path in sorted(place.glob("fault-*.json"))]
    left.sort(key=lambda one: one["kind"] == ProcessError.__name__)
    return next((getattr(errors, one["kind"])(*one["said"]) for one in left), None)


def main(place: Path) -> int:
    """The work of one process: the exit code. A fault is left in `place`, a file for each process."""
    runtime.prepare()
    try:
        run(load_recipe(place / "recipe.yaml"), "align")
    except RbaError as error:
        said = [error.what, error.where, error.fix]
        write_json(place / f"fault-{os.environ.get('RANK', '0')}.json", {"kind": _kind(error), "said": said})
        return 2
    return 0


def _kind(error: RbaError) -> str:
    """The name of the nearest class of an error that `rba.errors` has: some stand elsewhere, or in a user's code."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


if __name__ == "__main__":
    follow(Connection(sys.stdin.fileno(), writable=False))
    sys.exit(main(Path(sys.argv[1])))
