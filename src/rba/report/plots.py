"""Panels of the page: a chart with its heading, for results and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rba.evaluation.results import Result
from rba.report import bars, charts, facts, names
from rba.report.bars import Share
from rba.report.charts import Interval
from rba.report.source import Source
from rba.report.tables import column_of


@dataclass(frozen=True)
class Panel:
    """One chart with its heading."""

    title: str
    note: str
    svg: Markup


def results(rows: Sequence[Result]) -> list[Panel]:
    """Dots with intervals of the main metrics, and of the win rates against base and SFT by each judge."""
    columns = dict.fromkeys(column_of(r) for r in rows)
    wanted = [c for c in columns if c.metric.main and c.against in ("", "base", "sft")]
    wanted.sort(key=lambda c: (names.metric_order(c.key), names.model_order(c.against)))
    made = []
    for column in wanted:
        own = sorted((r for r in rows if column_of(r) == column), key=lambda r: names.model_order(r.model))
        if len(own) > 1:
            title = column.metric.name + (f" against {names.model_name(column.against)}" if column.against else "")
            note = column.metric.note + (f"; judge: {column.judge}" if column.judge else "")
            svg = charts.interval_chart([_interval(r) for r in own], title, 50.0 if column.is_win_rate else None)
            made.append(Panel(title, note, Markup(svg)))
    return made


def _interval(row: Result) -> Interval:
    metric = column_of(row).metric
    scale = 100 if metric.percent else 1
    low, high = (None if v is None else v * scale for v in (row.low, row.high))
    name, colour = names.model_name(row.model), names.model_class(row.model)
    return Interval(name, row.value * scale, low, high, colour, metric.format(row.value))


def data(source: Source) -> list[Panel]:
    """Shares of topics, difficulties and acoustics, and the lengths of speech and texts."""
    beside = "the orange mark is the paper's share"
    asked, spoken = source.instructions, source.utterances
    made = [
        _shares("Topics", beside, facts.topics(asked)),
        _shares("Difficulty", beside, facts.difficulties(asked)),
        _shares("Acoustics", "share of utterances with each step", facts.acoustics(spoken)),
        _histogram("Utterances", "by length in seconds", [u.duration for u in spoken], "seconds"),
        _histogram("Requests", "by length in words", facts.words([i.text for i in asked]), "words"),
        _histogram("Teacher's answers", "by length in words", facts.words([i.response for i in asked]), "words"),
    ]
    return [panel for panel in made if panel]


def _shares(title: str, note: str, shares: Sequence[Share]) -> Panel | None:
    return Panel(title, note, Markup(bars.share_chart(shares, title, "paper"))) if shares else None


def _histogram(title: str, note: str, values: Sequence[float], unit: str) -> Panel | None:
    return Panel(title, note, Markup(bars.histogram(values, title, unit))) if values else None
