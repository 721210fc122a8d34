"""The whole run: synthesis -> speech -> [connect] -> align (each method) -> evaluation -> report.

A finished stage whose fingerprint (its settings, the seed, the models it names, the files it reads) is unchanged is
skipped; an interrupted one goes on where it stopped; any other begins anew.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Sequence
from pathlib import Path

from rba import paid, parallel, runtime
from rba.errors import ModelError, WorkspaceError
from rba.files import local
from rba.foresight import check_ahead
from rba.meter import measure
from rba.models import SHIPPED
from rba.models.heard import carry_heard
from rba.named import named_models, trainings, with_keys
from rba.publish import publish
from rba.recipe import CONNECT, Recipe
from rba.services.usage import accounted
from rba.steps import Step, base_model, plan
from rba.workspace import Workspace, write_text

VERBS = ("synthesize", "speak", "connect", "align", "evaluate", "report")
SPREAD = ("synthesize", "speak")
"""The verbs whose work a cluster can do."""


def run(recipe: Recipe, only: str | None = None, command: str = "") -> Path:
    """Run a recipe's stages, or the one of verb `only`, and return the run folder.

    Prints what was done, and in the end the results table and the report's path; `command` is what the user typed, for
    the report. Raises RbaError: WorkspaceError where another run holds the folder or `only` lacks its inputs, else what
    a stage raises. What was finished stays.

    Of several processes that a launcher started (`rba.parallel`), the first leads and the others help it align.
    """
    if only is not None and only not in VERBS:
        raise ValueError(f"no verb {only!r}; there are {', '.join(VERBS)}")
    workspace = Workspace(recipe.folder)
    with with_keys(recipe), parallel.joined() as world:
        if world.leads:
            _lead(recipe, workspace, only, command)
        else:
            _help(recipe, workspace)
    return workspace.root


def _help(recipe: Recipe, workspace: Workspace) -> None:
    """Take part in every alignment that the leader calls for, until it calls for none."""
    while name := parallel.told(""):
        (step,) = (step for step in plan(recipe, workspace) if step.name == name)
        step.work(workspace.stage(name))


def _lead(recipe: Recipe, workspace: Workspace, only: str | None, command: str) -> None:
    """Do the work of all stages."""
    check_models(recipe)
    with workspace.lock(), measure() as total:
        steps = plan(recipe, workspace)
        if only:
            _check_inputs(recipe, workspace, steps, only)
        chosen = [step for step in steps if only in (None, step.verb)]
        due = _due(chosen, workspace)
        check_ahead(recipe, due)
        if "evaluate" in due:
            paid.warn(recipe)
        write_text(workspace.root / "config.yaml", recipe.to_yaml())
        if command and only is None:
            workspace.log("run", {"command": command})
        aligned = [step for step in chosen if step.verb == "align"]
        if recipe.align.sharding != "none" and not all(workspace.stage(step.name).is_complete for step in aligned):
            from rba.lm.sharding import check

            check(recipe.align.sharding)
        if recipe.cluster and not all(workspace.stage(s.name).is_complete for s in chosen if s.verb in SPREAD):
            from rba.cluster.connection import check as check_cluster

            check_cluster(recipe.cluster)
        if not aligned:
            parallel.told("")  # there is nothing to help with
        for step in chosen:
            _run_step(step, recipe, workspace)
            if step in aligned[-1:]:
                parallel.told("")
        if only in (None, "report"):
            _report(recipe, workspace)
    if only is None:
        print(f"whole run: {total}", flush=True)


def _due(steps: Sequence[Step], workspace: Workspace) -> set[str]:
    """The verbs of the steps that have work to do: those whose output is not current, and all that read theirs."""
    due: dict[str, str] = {}
    for step in steps:
        if due.keys() & set(step.needs) or not workspace.stage(step.name).is_current(step.mark(workspace)):
            due[step.name] = step.verb
    return set(due.values())


def _run_step(step: Step, recipe: Recipe, workspace: Workspace) -> None:
    """Do a step's work unless its output is current; publish an aligned model either way."""
    folder, mark, records = workspace.stage(step.name), step.mark(workspace), workspace.records()
    if folder.manifest.get("fingerprint") != mark:
        workspace.forget(step.name)
    if folder.open(mark, step.shards_mark(workspace)):
        print(f"{step.name}: unchanged, skipped", flush=True)
    else:
        with measure() as cost, accounted() as asked:
            if step.verb == "align":
                parallel.told(step.name)
            try:
                step.work(folder)
            except BaseException:
                if folder.put_back():  # a fault that shows at once costs nothing that was there
                    workspace.rewrite(records)
                raise
            gc.collect()
            runtime.give_back()
        folder = workspace.stage(step.name)
        if not folder.is_current(mark):
            raise WorkspaceError("the stage ended without finishing", str(folder.path), "run the same command again")
        seconds = folder.manifest["seconds"]
        facts = {"what": step.name, "seconds": seconds, "peak_gib": round(cost.peak_bytes / 2**30, 2)}
        workspace.log("run", facts)
        for line in asked.lines():
            print(f"{step.name}: {line}", flush=True)
        print(f"{step.name}: done in {cost}", flush=True)
    if step.verb == "align":
        model, final = folder.path / "model", workspace.root / "final" / step.name.removeprefix("align/")
        for place in (model, final):  # one of before checkpoints kept it is not trained again
            carry_heard(base_model(recipe, workspace), place)
        publish(model, final, recipe)


def _check_inputs(recipe: Recipe, workspace: Workspace, steps: Sequence[Step], only: str) -> None:
    """Raise WorkspaceError, naming the verb to run first, where what `only` reads is missing or out of date."""
    if only == "connect" and recipe.model != CONNECT:
        fix = f"add model={CONNECT}"
        raise WorkspaceError("this recipe starts from a SpeechLM of its own", f'model "{recipe.model}"', fix)
    needed = {"evaluation"} if only == "report" else {name for s in steps if s.verb == only for name in s.needs}
    for step in reversed(steps):
        if step.name in needed:
            needed |= set(step.needs)
    for step in steps:
        if step.name in needed and not workspace.stage(step.name).is_current(step.mark(workspace)):
            state = "out of date for this recipe" if workspace.stage(step.name).is_complete else "not complete"
            fix = f"run rba {step.verb} with this recipe first, or rba run for everything"
            raise WorkspaceError(f"{step.name} is {state}", str(workspace.root), fix)


def check_models(recipe: Recipe) -> None:
    """Raise ModelError at once, not after hours of earlier stages, for models that cannot exist.

    Raises RecipeError for a reward of the user's own that cannot be imported, and for a server that cannot teach,
    DataError for a file of texts with a bad line.
    """
    from rba.models.families import check_published, is_published
    from rba.rewards.custom import load_custom
    from rba.rewards.spec import is_custom, parse_weights
    from rba.services.service import is_service, parse_service
    from rba.synthesis.texts import read_texts
    from rba.weights.registry import find

    own = trainings(recipe).values()
    scored = [("align", settings.reward_model) for settings in own] + [("evaluate", recipe.evaluate.reward_model)]
    for section, name in scored:
        if is_service(name):
            what = "a server gives no reward model's score"
            raise ModelError(what, f"{section}.reward_model {name}", "name a model loaded here, or leave it empty")
    for settings in own:
        if is_service(settings.token_teacher):
            from rba.alignment.token_teacher import check_served

            check_served(settings)
    for key, name in named_models(recipe).items():
        if is_service(name):
            parse_service(name)
        elif key not in ("model", "connect.start") and "/" not in name and not local(name).is_dir():
            find(name)
    if recipe.synthesis.texts:
        read_texts(recipe.synthesis.texts)
    for reward in dict.fromkeys(settings.reward for settings in own):
        for name in filter(is_custom, parse_weights(reward)):
            load_custom(name)
    if recipe.model in (CONNECT, SHIPPED):
        return
    fix = f'give "{CONNECT}" (the connect stage\'s), "{SHIPPED}", a checkpoint folder or an audio LM of transformers'
    if is_published(recipe.model):
        check_published(recipe.model)
    elif not (local(recipe.model) / "speechlm.json").is_file():
        raise ModelError("no SpeechLM checkpoint here", f"model {recipe.model}", fix)


def _report(recipe: Recipe, workspace: Workspace) -> None:
    """Write the report and the model cards, print the results table and say where the report is."""
    from rba.evaluation.results import print_table

    page = importlib.import_module("rba.report.page").write(workspace, recipe)
    importlib.import_module("rba.report.card").write(workspace, recipe)
    print_table(workspace.stage("evaluation").path / "results.json")
    print(f"report: {page}", flush=True)
