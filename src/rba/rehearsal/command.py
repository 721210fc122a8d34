"""`rba run RECIPE --dry-run`: drives every stage of a recipe with stand-ins and says which passed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rba.alignment.variants import trained
from rba.errors import RbaError
from rba.foresight import check_ahead
from rba.meter import duration
from rba.pipeline import VERBS, run
from rba.recipe import CONNECT, Recipe
from rba.rehearsal.checks import check
from rba.rehearsal.stand_ins import StandIns
from rba.rehearsal.standing import left_out, standing
from rba.testing.tiny_server import tiny_server

NOT_SHOWN = "memory, speed, what real models and servers do, and how good the models get (docs/plan.md)"


def rehearse(recipe: Recipe) -> None:
    """Drive a recipe's whole path in a temporary folder, print what was driven, and leave nothing behind.

    Raises RbaError, with the recipe's own names, for the first fault.
    """
    with TemporaryDirectory(prefix="rba-dry-run-", ignore_cleanup_errors=True) as place:
        drive(recipe, Path(place))


def drive(recipe: Recipe, folder: Path) -> Path:
    """The same in the empty `folder`, which keeps the stand-ins and the run folder; returns the latter."""
    start = time.monotonic()
    check(recipe)
    with tiny_server() as url:
        made = StandIns(folder / "stand-ins", url)
        try:
            tiny = standing(recipe, made, folder / "run")
            print(f"dry run of {recipe.name}: a handful of items, tiny random stand-ins, nothing is fetched or kept")
            for name, words in made.told.items():
                print(f"  {name}: {words}")
            for line in left_out(recipe):
                print(f"  left out: {line}")
            with environment(RBA_CACHE=str(folder / "cache"), NO_PROXY="127.0.0.1", no_proxy="127.0.0.1"):
                check_ahead(tiny, VERBS)
                for verb in (verb for verb in VERBS if verb != "connect" or tiny.model == CONNECT):
                    _drive_stage(tiny, verb)
                    if verb == "connect":  # what has learnt for a moment hears nothing yet
                        tiny = replace(tiny, model=made.compact(CONNECT, recipe.connect.encoder))
        except RbaError as error:
            raise type(error)(*map(made.given_back, (error.what, error.where, error.fix))) from error
    print(f"every stage passed, in {duration(time.monotonic() - start)}; not shown: {NOT_SHOWN}", flush=True)
    return tiny.folder


def _drive_stage(tiny: Recipe, verb: str) -> None:
    """Drive one stage; what it prints on its way is kept quiet: its figures mean nothing."""
    start = time.monotonic()
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        run(tiny, verb)
    what = f"{verb} ({', '.join(trained(tiny.align))})" if verb == "align" else verb
    print(f"passed: {what}, {duration(time.monotonic() - start)}", flush=True)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables of the environment while the block runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
