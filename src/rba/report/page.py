"""The report: one HTML file that holds all it shows, and is the same bytes for the same run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from rba import __version__
from rba.alignment.variants import trained
from rba.evaluation.results import Result
from rba.paid import paid
from rba.recipe import CONNECT, Recipe
from rba.report import breakdown, curves, facts, names, plots, samples, source, summary, tables
from rba.workspace import Workspace, write_text


def write(workspace: Workspace, recipe: Recipe) -> Path:
    """Write `report.html` of a run folder, atomically, and return its path.

    What the run does not hold yet is said in its section. Raises DataError for a damaged shard or results file and
    WorkspaceError where the disk refuses.
    """
    path = workspace.root / "report.html"
    write_text(path, html(workspace, recipe))
    return path


def html(workspace: Workspace, recipe: Recipe) -> str:
    """The report of a run folder as HTML text, with no reference to anything outside it."""
    run = source.read(workspace, recipe)
    listed = samples.build(run, workspace)
    return _template().render(
        css=_asset("page.css")
        + Markup(names.own_colours([*trained(recipe.align), *(row.model for row in run.results)])),
        js=_asset("page.js"),
        version=__version__,
        model_notes=names.MODEL_NOTES,
        samples=_script_json(listed),
        sample_count=len(listed),
        sample_split=_split_name(run),
        clip_count=sum("audio" in voice for sample in listed for voice in sample["voices"]),
        **_head(run, recipe),
        **_results(run, paid(recipe)),
        **_data(run),
        groups=curves.groups(run.records),
        **_recipe(run, recipe),
    )


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(str(_asset("page.html.j2")))


def _asset(name: str) -> Markup:
    """A file of the page, as it is."""
    return Markup((resources.files(__package__) / name).read_text(encoding="utf-8"))


def _script_json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever its texts hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _head(run: source.Source, recipe: Recipe) -> dict[str, Any]:
    rows = _main(run)
    methods = ", ".join(names.model_name(m) for m in trained(recipe.align))
    made_of = f"{recipe.connect.encoder} + {recipe.connect.llm}"
    speechlm = made_of if recipe.model == CONNECT else recipe.model
    told = {"Teacher": recipe.teacher, "SpeechLM": speechlm, "Methods": methods, "Seed": str(recipe.seed)}
    return {
        "name": recipe.name,
        "sentence": summary.sentence(rows),
        "facts": [(key, value) for key, value in told.items() if value],
        "figures": summary.figures(run, rows),
    }


def _results(run: source.Source, paid: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Tables and plots of the first place that was measured; tables of the others, of conditions and of topics.

    `paid` holds the judges whose liking models were trained for.
    """
    rows, others, conditions, topics = _main(run), [], [], []
    matrices = breakdown.matrices(rows, paid=paid)
    places = tables.places(run.results)
    for benchmark in dict.fromkeys(benchmark for benchmark, _ in places):
        same = [row for row in run.results if row.benchmark == benchmark]
        conditions += breakdown.by_condition(same)
        topics += breakdown.by_topic(same)
        if benchmark != (rows[0].benchmark if rows else None):
            here = tables.at(run.results, next(place for place in places if place[0] == benchmark))
            title = names.place_name(benchmark, here[0].condition)
            both = (tables.scores(here, title), tables.differences(here, f"{title}: paired differences"))
            others += [table for table in both if table]
            matrices += breakdown.matrices(tables.at(same, (benchmark, tables.ALL)), f"{title}: ", paid)
    return {
        "main": tables.scores(rows, names.place_name(rows[0].benchmark, rows[0].condition) if rows else ""),
        "differences": tables.differences(rows, "Paired differences"),
        "others": others,
        "conditions": conditions,
        "topics": topics,
        "result_panels": plots.results(rows),
        "matrices": matrices,
    }


def _main(run: source.Source) -> list[Result]:
    """The rows of the first benchmark over all its conditions."""
    found = tables.places(run.results)
    return tables.at(run.results, found[0]) if found else []


def _data(run: source.Source) -> dict[str, Any]:
    shared = facts.shared_speakers(run.utterances)
    both = {"train", "test"} <= {u.split for u in run.utterances}
    return {
        "splits": facts.splits(run),
        "speakers_note": f"{shared or 'none'} of the test speakers are heard in training" if both else "",
        "drops": facts.drops(run.notes),
        "costs": facts.costs(run),
        "data_panels": plots.data(run),
    }


def _split_name(run: source.Source) -> str:
    splits = {i.split for i in run.instructions}
    return next((name for name in ("test", "validation", "train") if name in splits), "")


def _recipe(run: source.Source, recipe: Recipe) -> dict[str, Any]:
    typed = [r["command"] for r in run.records if isinstance(r.get("command"), str)]
    whole = [line for line in typed if line.startswith("rba run ")] or typed
    return {
        "command": whole[-1] if whole else f"rba run {recipe.output}/config.yaml",
        "command_note": "The command that made the run." if whole else "The command that makes the same run again.",
        "yaml": recipe.to_yaml(),
        "notes": json.dumps(run.notes, indent=2, sort_keys=True, ensure_ascii=False) if run.notes else "",
    }
