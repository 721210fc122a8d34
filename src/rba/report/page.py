"""The report: one HTML file that holds all it shows, and is the same bytes for the same run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from rba import __version__
from rba.report import charts, curves, facts, names, samples, source, summary
from rba.report.curves import Panel
from rba.report.tables import matrices, tables
from rba.workspace import Workspace, write_text

if TYPE_CHECKING:
    from rba.recipe import Recipe


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
    run = source.read(workspace)
    listed = samples.build(run, workspace)
    return _template().render(
        css=_asset("page.css"),
        js=_asset("page.js"),
        version=__version__,
        model_notes=names.MODEL_NOTES,
        samples=_script_json(listed),
        sample_count=len(listed),
        sample_split=_split_name(run),
        clip_count=sum("audio" in voice for sample in listed for voice in sample["voices"]),
        **_head(run, recipe),
        **_results(run),
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
    rows = summary.main_rows(run.results)
    methods = ", ".join(names.model_name(m) for m in recipe.align.methods)
    told = {"Teacher": recipe.teacher, "SpeechLM": recipe.model, "Methods": methods, "Seed": str(recipe.seed)}
    return {
        "name": recipe.name,
        "sentence": summary.sentence(rows),
        "facts": [(key, value) for key, value in told.items() if value],
        "figures": summary.figures(run, rows),
    }


def _results(run: source.Source) -> dict[str, Any]:
    made = tables(run.results)
    strips, grids = [], []
    if made:
        for title, note, rows, reference in summary.strips(made[0]):
            strips.append(Panel(title, note, Markup(charts.interval_chart(rows, title, reference))))
        grids = matrices(made[0])
    notes = run.notes.get("evaluation", {})
    judged = [f"{names.plain(k)}: {_plain_value(v)}." for k, v in sorted(notes.items()) if "judge" in k.lower()]
    return {"tables": made, "strips": strips, "matrices": grids, "judge_notes": judged}


def _plain_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{names.plain(str(k)).lower()} {_plain_value(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _data(run: source.Source) -> dict[str, Any]:
    shared = facts.shared_speakers(run.utterances)
    seen = {u.split for u in run.utterances}
    note = f"{shared} of the test speakers are heard in training" if {"train", "test"} <= seen else ""
    return {
        "splits": facts.splits(run),
        "speakers_note": note,
        "drops": facts.drops(run.notes),
        "costs": facts.costs(run),
        "data_panels": _data_panels(run),
    }


def _data_panels(run: source.Source) -> list[Panel]:
    beside = "the orange mark is the paper's share"
    made = [
        _shares("Topics", beside, facts.topics(run.instructions)),
        _shares("Difficulty", beside, facts.difficulties(run.instructions)),
        _shares("Acoustics", "share of utterances with each step", facts.acoustics(run.utterances)),
        _histogram("Speech", "length of an utterance", [u.duration for u in run.utterances], "seconds"),
        _histogram("Requests", "length of an instruction", facts.words([i.text for i in run.instructions]), "words"),
        _histogram("Answers", "length of the teacher's", facts.words([i.response for i in run.instructions]), "words"),
    ]
    return [panel for panel in made if panel]


def _shares(title: str, note: str, shares: Sequence[charts.Share]) -> Panel | None:
    return Panel(title, note, Markup(charts.share_chart(shares, title, "paper"))) if shares else None


def _histogram(title: str, note: str, values: Sequence[float], unit: str) -> Panel | None:
    return Panel(title, note, Markup(charts.histogram(values, title, unit))) if values else None


def _split_name(run: source.Source) -> str:
    splits = {i.split for i in run.instructions}
    return next((name for name in ("test", "validation", "train") if name in splits), "")


def _recipe(run: source.Source, recipe: Recipe) -> dict[str, Any]:
    typed = [r["command"] for r in run.records if isinstance(r.get("command"), str)]
    again = f"rba run {recipe.output}/config.yaml"
    return {
        "command": typed[-1] if typed else again,
        "command_note": "This command makes the run." if typed else "This command makes the same run again.",
        "yaml": recipe.to_yaml(),
        "notes": json.dumps(run.notes, indent=2, sort_keys=True, ensure_ascii=False) if run.notes else "",
    }
