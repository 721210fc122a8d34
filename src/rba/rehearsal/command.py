"""`rba run RECIPE --dry-run`: drives every stage of a recipe with stand-ins and says which passed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from rba.alignment.objectives.objective import load_objective
from rba.alignment.variants import resolve, trained
from rba.errors import RbaError
from rba.export.llm import write_llm
from rba.foresight import check_ahead
from rba.lm.load import load_lm
from rba.meter import duration
from rba.named import trainings
from rba.pipeline import VERBS, run
from rba.recipe import CONNECT, Recipe
from rba.rehearsal import divided
from rba.rehearsal.checks import check
from rba.rehearsal.divided import is_divided
from rba.rehearsal.driven import driven, left_out
from rba.rehearsal.stand_ins import StandIns
from rba.rehearsal.standing import standing
from rba.services.service import parse_service
from rba.testing.local_server import answering
from rba.testing.tiny_server import tiny_server
from rba.testing.tiny_vllm import TinyVllm

NOT_SHOWN = "memory, speed, what real models and servers do, and how good the models get (docs/plan.md)"
LARGEST_RANK = 512
"""Of an adapter on a vLLM server, whatever it is started with."""
ROOM = 38
"""Characters of a folder in which Ray's sockets can lie: it adds some 65, and their addresses end at 107."""


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
    policy = folder / "policy"
    vllm = TinyVllm(partial(load_lm, str(policy), "float32", torch.device("cpu")), max_lora_rank=LARGEST_RANK)
    with tiny_server() as url, answering(vllm) as vllm_url:
        made = StandIns(folder / "stand-ins", url, vllm_url)
        try:
            tiny = standing(recipe, made, folder / "run")
            vllm.names = served_names(tiny)
            print(f"dry run of {recipe.name}: a handful of items, tiny random stand-ins, nothing is fetched or kept")
            for name, words in made.told.items():
                print(f"  {name}: {words}")
            with environment(**_variables(folder)):
                check_ahead(tiny, VERBS)
                for verb in (verb for verb in VERBS if verb != "connect" or tiny.model == CONNECT):
                    if verb == "align" and is_drawn_from(tiny):
                        write_llm(tiny.model, policy, "float32")  # as `rba models llm` does for a real server
                    _drive_stage(tiny, verb, folder)
                    if verb == "connect":  # what has learnt for a moment hears nothing yet
                        tiny = replace(tiny, model=made.compact(CONNECT, recipe.connect.encoder))
        except RbaError as error:
            raise type(error)(*map(made.given_back, (error.what, error.where, error.fix))) from error
    for line in driven(recipe, vllm):
        print(f"driven: {line}")
    for line in left_out(recipe, vllm):
        print(f"left out: {line}")
    print(f"every stage passed, in {duration(time.monotonic() - start)}; not shown: {NOT_SHOWN}", flush=True)
    return tiny.folder


def served_names(recipe: Recipe) -> list[str]:
    """The names by which a recipe's rollout servers know the policy's LLM."""
    servers = {settings.rollout_server for settings in trainings(recipe).values()} - {""}
    return [parse_service(name).model for name in sorted(servers)]


def is_drawn_from(recipe: Recipe) -> bool:
    """Whether anything that a recipe trains draws from a rollout server: only then is there an LLM to serve."""
    found = [resolve(recipe.align, name) for name in trained(recipe.align)]
    return any(settings.rollout_server and load_objective(method, settings).needs_samples for method, settings in found)


def _variables(folder: Path) -> dict[str, str]:
    """Of the environment: the cache and Ray's files are in `folder`, servers on this machine are asked directly."""
    found = {"RBA_CACHE": str(folder / "cache"), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    if len(str(folder)) <= ROOM:
        found["RAY_TMPDIR"] = str(folder)
    return found


def _drive_stage(tiny: Recipe, verb: str, folder: Path) -> None:
    """Drive one stage; what it prints on its way is kept quiet: its figures mean nothing."""
    start = time.monotonic()
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        if verb == "align" and is_divided(tiny):
            divided.align(tiny, folder / "processes")
        else:
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
