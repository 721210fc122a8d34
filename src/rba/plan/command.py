"""`rba plan`: from the command line's words to the printed plan."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rba.errors import RecipeError
from rba.files import write_json
from rba.plan.assumptions import assume
from rba.plan.plan import Options, Plan, make_plan
from rba.plan.table import lines
from rba.recipe import Recipe


def command(recipe: Recipe, args: argparse.Namespace) -> None:
    """Plan, print, and write JSON where asked. Raises RbaError as `make_plan` does."""
    shapes = dict(_named(word) for word in args.shape)
    plan = make_plan(recipe, Options(args.probe, args.gpus, args.tflops, assume(args.assume), shapes))
    for line in lines(plan):
        print(line)
    if args.json:
        write_json(Path(args.json), to_json(plan))


def _named(word: str) -> tuple[str, str]:
    name, sign, file = word.rpartition("=")
    if not sign or not name or not file:
        raise RecipeError(
            "a shape is written MODEL=FILE", f"--shape {word}", "for example --shape org/model=config.json"
        )
    return name, file


def to_json(plan: Plan) -> dict[str, Any]:
    """A plan as plain values: FLOPs, bytes, hours, tokens; per stage and per item."""
    basis = plan.basis
    return {
        "recipe": basis.recipe.name,
        "local": asdict(basis.local),
        "server": asdict(basis.server),
        "cores": basis.cores,
        "assumptions": asdict(basis.assumed),
        "models": [asdict(shape) for shape in basis.shapes.known],
        "probe": asdict(plan.probed) if plan.probed else None,
        "stages": [_stage(plan, i) for i in range(len(plan.stages))],
        "unknown": list(plan.unknown),
    }


def _stage(plan: Plan, index: int) -> dict[str, Any]:
    stage, basis = plan.stages[index], plan.basis
    here, away, spoken = stage.hours(basis.local, basis.server)
    return {
        "name": stage.name,
        "device_hours": here,
        "server_gpu_hours": away,
        "core_hours": spoken,
        "wall_hours": stage.wall_hours(basis.local, basis.server, basis.cores),
        "audio_hours": stage.audio_hours,
        "disk_bytes": stage.disk,
        "working_disk_bytes": stage.working_disk,
        "memory": [asdict(part) for part in stage.memory],
        "peak_bytes": {"local": stage.peak(served=False), "server": stage.peak(served=True)},
        "items": [asdict(item) | {"flops": item.flops} for item in stage.items],
    }
