"""The plan of a recipe: every stage with what it makes and costs, and what was assumed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rba.errors import RecipeError
from rba.named import with_keys
from rba.plan.alignment import plan_alignment
from rba.plan.assumptions import Assumptions
from rba.plan.basis import Basis
from rba.plan.connect import plan_connect
from rba.plan.device import Device, cores, gpus, servers
from rba.plan.evaluation import plan_evaluation
from rba.plan.item import Stage
from rba.plan.lengths import Lengths
from rba.plan.probe import Probed, probe
from rba.plan.shapes import Shapes
from rba.plan.speech import plan_speech
from rba.plan.speechlm import Hearing, hearing
from rba.plan.synthesis import plan_synthesis
from rba.recipe import CONNECT, Recipe
from rba.services.service import is_service
from rba.speech.engine import clones

LARGE = 1e9
"""Weights of a local model above which a plan counts on GPUs, unless told otherwise."""


@dataclass(frozen=True)
class Options:
    """How a plan is made: `gpus` None chooses by the size of the models, `tflops` is the rate of a local device."""

    probe: bool = False
    gpus: int | None = None
    tflops: float | None = None
    assumed: Assumptions = field(default_factory=Assumptions)
    shapes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        if self.gpus is not None and self.gpus < 0:
            raise RecipeError("this value cannot work", f"--gpus {self.gpus}", "give 0 (cores) or more")
        if self.tflops is not None and not 0 < self.tflops < float("inf"):
            raise RecipeError("this value cannot work", f"--tflops {self.tflops}", "give a number above 0")


@dataclass(frozen=True)
class Plan:
    """Stages, the basis they were planned from, what a probe measured, and what could not be counted, line by line."""

    basis: Basis
    stages: tuple[Stage, ...]
    probed: Probed | None = None
    unknown: tuple[str, ...] = ()


def make_plan(recipe: Recipe, options: Options | None = None) -> Plan:
    """Plan a recipe without loading any weights (a probe loads those of small local models) and without a network.

    Raises RbaError for what the run itself would refuse at its start (unknown models, servers and rewards), and for a
    shape that nothing needs.
    """
    from rba.pipeline import check_models

    options = options or Options()
    with with_keys(recipe):
        check_models(recipe)
    clones(recipe.speech.engine)  # refuses an engine that there is not
    shapes = Shapes(options.shapes)
    model = hearing(recipe, shapes)
    local = _local(recipe, shapes, model, options)
    basis = Basis(
        recipe,
        options.assumed,
        shapes,
        model,
        Lengths.of(recipe, options.assumed, model),
        local,
        servers(options.assumed),
        os.cpu_count() or 1,
    )
    probed = probe(basis) if options.probe else None
    if probed:
        basis = replace(basis, local=probed.applied(local))
    speed = probed.speech_speed if probed else None
    stages = [plan_synthesis(basis), plan_speech(basis, speed)]
    if recipe.model == CONNECT:
        stages.append(plan_connect(basis, speed if recipe.speech.engine == "hibari" else None))
    stages += [*plan_alignment(basis), plan_evaluation(basis)]
    shapes.check_given()
    mixed = ["instructions that align.mix brings from other runs are not counted"] if recipe.align.mix else []
    lines = [*shapes.unknown.values(), *mixed, *_uncounted(stages), *(probed.refused if probed else ())]
    return Plan(basis, tuple(stages), probed, tuple(dict.fromkeys(lines)))


def _local(recipe: Recipe, shapes: Shapes, model: Hearing, options: Options) -> Device:
    """GPUs where a model of the recipe is large, else the cores of this machine."""
    names = [recipe.teacher, recipe.align.token_teacher, recipe.align.judge, recipe.evaluate.judge]
    found = [shapes.find(name, "lm") for name in names if name and not is_service(name)]
    scored = (recipe.align.reward_model, recipe.evaluate.reward_model)
    found += [shapes.find(name, "reward") for name in scored if name]
    large = max((shape.parameters for shape in [*found, model.llm] if shape), default=0) > LARGE
    count = options.gpus if options.gpus is not None else int(large)
    if count:
        return gpus(count, options.assumed, options.tflops)
    return cores(os.cpu_count() or 1, _memory(), options.assumed, options.tflops)


def _memory() -> float:
    import psutil

    return float(psutil.virtual_memory().total)


def _uncounted(stages: list[Stage]) -> list[str]:
    """What single items could not count, beside models of unknown shape, which are told by name."""
    return [
        f"{stage.name}, {item.what}: {item.unknown}"
        for stage in stages
        for item in stage.items
        if item.unknown and "shape unknown" not in item.unknown
    ]
