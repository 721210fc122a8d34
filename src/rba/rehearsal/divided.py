"""The alignment of a dry run in two processes of its own, on the CPU, as `torchrun` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rba import document, errors, runtime
from rba.errors import ProcessError, RbaError
from rba.files import write_json, write_text
from rba.named import trainings
from rba.pipeline import run
from rba.recipe import Recipe, load_recipe

PROCESSES = 2


def is_divided(recipe: Recipe) -> bool:
    """Whether any training of a recipe divides the LLM among processes."""
    return any(settings.sharding != "none" for settings in trainings(recipe).values())


def align(recipe: Recipe, place: Path) -> None:
    """Align in processes that share the recipe's run folder; `place` is a new folder for what they are told and say.

    Raises the RbaError of the one whose fault it is, RuntimeError with all that was printed where one ended otherwise.
    """
    place.mkdir(parents=True)
    write_text(place / "recipe.yaml", recipe.to_yaml())
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    command = [sys.executable, "-m", *launcher, "-m", __name__, str(place)]
    # two processes cannot share a GPU
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise fault(place) or RuntimeError(f"processes that divided the LLM ended:\n{done.stdout}")


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
        write_json(place / f"fault-{os.environ.get('RANK', '0')}.json", {"kind": type(error).__name__, "said": said})
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
