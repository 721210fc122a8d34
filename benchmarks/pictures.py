"""The pictures of docs/results, drawn from the files there: `python benchmarks/pictures.py` writes them anew.

Each is an SVG of its own, with the report's style and colours inside it, for light and for dark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pooled import pooled

from rba.report.charts import Interval, interval_chart
from rba.report.names import METRICS, model_class, model_name, model_order, own_colours

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
SHORT = {
    "rba-group-fresh": "Group, fresh",
    "grpo-similarity": "GRPO, sim.",
    "rba-opd-similarity": "RBA-OPD, sim.",
    "gkd-strong": "GKD",
    "gkd-sharp": "GKD, sharp",
    "opd-ce-sharp": "No preference",
    "rba-opd-sharp": "RBA-OPD",
}
"""What the models that a recipe names are called in a picture, which has room for fourteen letters."""


@dataclass(frozen=True)
class Picture:
    """A difference of one file's models to one of them, all test speech together."""

    name: str
    title: str
    results: str
    against: str
    metric: str = "delta_f1"
    left_out: tuple[str, ...] = ()


PICTURES = (
    Picture("all-methods", "Word F1 over base, all methods", "evidence-tiny", "base"),
    Picture("strong-methods", "Word F1 over SFT, stronger teacher", "strong-long", "sft", left_out=("base", "text")),
)


def draw(picture: Picture) -> str:
    """The picture as a whole SVG file."""
    rows = [r for r in pooled([RESULTS / f"{picture.results}.json"]) if r.model not in picture.left_out]
    place = ("heldout", "all", picture.metric, picture.against)
    rows = [r for r in rows if (r.benchmark, r.condition, r.metric, r.against) == place]
    rows.sort(key=lambda r: model_order(r.model))
    said = METRICS[picture.metric].format
    intervals = [
        Interval(SHORT.get(r.model, model_name(r.model)), r.value, r.low, r.high, model_class(r.model), said(r.value))
        for r in rows
    ]
    chart = interval_chart(intervals, picture.title, reference=0.0)
    return chart.replace(">", f"><style>{_style([r.model for r in rows])}</style>", 1) + "\n"


def _style(models: list[str]) -> str:
    """The report's rules for charts, its colours, and a ground to stand on."""
    css = files("rba.report").joinpath("page.css").read_text(encoding="utf-8")
    colours = css.partition("\n* {")[0]
    rules = re.findall(r"^\.(?:chart|m-).*$", css, re.MULTILINE)
    return "\n".join([colours, *rules, own_colours(models), "svg { background: var(--card); }"])


if __name__ == "__main__":
    for picture in PICTURES:
        (RESULTS / f"{picture.name}.svg").write_text(draw(picture), encoding="utf-8")
