"""What of a recipe a dry run has driven beside its stages, and what it has left out."""

from __future__ import annotations

from collections.abc import Iterator

from rba.models import SHIPPED
from rba.named import trainings
from rba.recipe import CONNECT, Recipe
from rba.rehearsal.divided import PROCESSES, is_divided
from rba.rehearsal.sizes import WORKERS
from rba.rehearsal.stand_ins import WEIGHTLESS
from rba.rehearsal.standing import ACCENT, has_ray, is_here
from rba.services.service import is_service
from rba.speech.engine import is_served
from rba.testing.tiny_vllm import TinyVllm


def driven(recipe: Recipe, vllm: TinyVllm) -> Iterator[str]:
    """What was driven beside the stages, a line each; `vllm` is the server of self-samples, as the run has left it."""
    if vllm.asked:
        adapters = str(len(vllm.loads)) if vllm.loads else "none, as the initial model alone drew"
        yield f"align.rollout_server: prompts as embeddings: {len(vllm.asked)}; adapters: {adapters}"
    if is_divided(recipe):
        yield f"align.sharding: alignment in {PROCESSES} processes on this machine's CPU"
    spread = [stage for stage, served in _stages(recipe).items() if not served]
    if spread and has_ray():
        yield f"executor: ray: {' and '.join(spread)} by {WORKERS['count']} workers of a Ray on this machine"
    for run in recipe.align.mix:
        yield f"align.mix: {run}"


def left_out(recipe: Recipe, vllm: TinyVllm) -> Iterator[str]:
    """What of a recipe was not driven, and why, a line each."""
    if vllm.names and not vllm.asked:
        yield "align.rollout_server: nothing that is trained draws from it"
    if recipe.executor == "ray" and not has_ray():
        yield "executor: ray: Ray is not installed here (pip install 'rba[ray]'), this process did its work"
    elif served := [stage for stage, served in _stages(recipe).items() if served]:
        yield f"executor: ray: {' and '.join(served)}, which is asked of a server and takes no workers"
    if recipe.connect.start and recipe.model == CONNECT and recipe.connect.connector != SHIPPED:
        yield "connect.start: the connector begins anew, and nothing is averaged (connect.ctc.average)"
    for place, settings in trainings(recipe).items():
        if settings.dtype == "bfloat16" and (place == "align" or recipe.align.dtype != settings.dtype):
            yield f"{place}.dtype: numbers are float32"
    if recipe.evaluate.dtype in ("bfloat16", "float16"):
        yield "evaluate.dtype: numbers are float32"
    if ACCENT in recipe.evaluate.conditions.names and recipe.speech.engine not in WEIGHTLESS:
        yield f"evaluate.conditions.names: {ACCENT}, which the stand-in of {recipe.speech.engine} does not have"
    for one in recipe.evaluate.benchmarks:
        if not is_here(one.source):
            yield f"evaluate.benchmarks: {one.name}, whose data are not on this machine"


def _stages(recipe: Recipe) -> dict[str, bool]:
    """The stages that a cluster is asked to do, by whether a server does them; none without a cluster."""
    if recipe.cluster is None:
        return {}
    return {"synthesis": is_service(recipe.teacher), "speech": is_served(recipe.speech.engine)}
