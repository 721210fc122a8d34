"""Tables of results: models by metrics with their intervals, and win rates by opponent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rba.report import names
from rba.report.names import Metric

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One metric, against one opponent and by one judge where it is a win rate."""

    key: str
    against: str = ""
    judge: str = ""

    @property
    def metric(self) -> Metric:
        """How it is shown."""
        return names.metric(self.key)

    @property
    def under(self) -> str:
        """The second line of its head: opponent and judge."""
        opponent = f"against {names.model_name(self.against)}" if self.against else ""
        return ", ".join(filter(None, (opponent, f"judge: {self.judge}" if self.judge else "")))


@dataclass(frozen=True)
class Cell:
    """A value as text, its interval as text, and whether it is the best of the SpeechLMs in its column."""

    value: str
    interval: str = ""
    best: bool = False
    raw: float = 0.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A model's row."""

    model: str
    cells: list[Cell | None]

    @property
    def name(self) -> str:
        """The model's name for people."""
        return names.model_name(self.model)

    @property
    def colour(self) -> str:
        """The CSS class of its colour."""
        return names.model_class(self.model)

    @property
    def is_reference(self) -> bool:
        """Whether it is a bound rather than a SpeechLM."""
        return self.model in names.REFERENCES


@dataclass(frozen=True)
class Table:
    """Models by columns, for one benchmark under one condition."""

    benchmark: str
    condition: str
    columns: list[Column]
    lines: list[Line]
    count: int

    @property
    def title(self) -> str:
        """Benchmark and condition in words."""
        return ", ".join(names.plain(part) for part in (self.benchmark, self.condition) if part) or "Results"


def column_of(row: Row) -> Column:
    """The column that a results row belongs to; a judge may be its own key or follow the metric's name after a colon."""
    key, _, judge = str(row["metric"]).partition(":")
    return Column(key, str(row.get("against") or ""), str(row.get("judge") or judge))


def tables(rows: Sequence[Row]) -> list[Table]:
    """One table per benchmark and condition, the fullest first, else in the order in which they were measured."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((str(row.get("benchmark") or ""), str(row.get("condition") or "")), []).append(row)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [_table(benchmark, condition, group) for (benchmark, condition), group in ordered]


def _table(benchmark: str, condition: str, rows: Sequence[Row]) -> Table:
    known = list(names.METRICS)
    columns = list(dict.fromkeys(column_of(row) for row in rows))
    columns.sort(key=lambda c: (known.index(c.key) if c.key in known else len(known), names.model_order(c.against)))
    found = {(str(row["model"]), column_of(row)): row for row in rows}
    models = sorted({str(row["model"]) for row in rows}, key=names.model_order)
    best = {column: _best(column, models, found) for column in columns}
    lines = []
    for model in models:
        cells = [_cell(found.get((model, c)), c.metric, best[c] == model) for c in columns]
        lines.append(Line(model, cells))
    return Table(benchmark, condition, columns, lines, max(int(row.get("n") or 0) for row in rows))


def _best(column: Column, models: Sequence[str], found: dict[tuple[str, Column], Row]) -> str:
    """The SpeechLM with the best value; none where no way is better or there is nothing to compare."""
    rivals = [m for m in models if m not in names.REFERENCES and (m, column) in found]
    if len(rivals) < 2 or column.metric.better == 0:
        return ""
    return max(rivals, key=lambda m: column.metric.better * float(found[m, column]["value"]))


def _cell(row: Row | None, metric: Metric, best: bool) -> Cell | None:
    if row is None or row["value"] is None:
        return None
    low, high = row.get("low"), row.get("high")
    interval = "" if low is None or high is None else f"{metric.format(low)} – {metric.format(high)}"
    return Cell(metric.format(row["value"]), interval, best, float(row["value"]), low, high)


@dataclass(frozen=True)
class Matrix:
    """Win rates by model (lines) and opponent (columns), for one metric and judge."""

    title: str
    judge: str
    opponents: list[str]
    lines: list[Line]


def matrices(table: Table) -> list[Matrix]:
    """A matrix per kind of win rate and judge in a table."""
    kinds = dict.fromkeys((c.key, c.judge) for c in table.columns if c.against)
    found = []
    for key, judge in kinds:
        places = [i for i, c in enumerate(table.columns) if (c.key, c.judge) == (key, judge) and c.against]
        lines = [Line(line.model, [line.cells[i] for i in places]) for line in table.lines]
        lines = [line for line in lines if any(line.cells)]
        opponents = [table.columns[i].against for i in places]
        found.append(Matrix(names.metric(key).name, judge, opponents, lines))
    return found
