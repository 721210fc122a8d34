"""Tables of results: models by metrics with their intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rba.evaluation.results import Result
from rba.report import names
from rba.report.names import Metric

ALL = "all"


@dataclass(frozen=True)
class Column:
    """One metric, against one opponent and by one judge where it has them; `condition` where columns differ in that."""

    key: str
    against: str = ""
    judge: str = ""
    condition: str = ""

    @property
    def metric(self) -> Metric:
        """How it is shown."""
        return names.metric(self.key)

    @property
    def is_win_rate(self) -> bool:
        """Whether it tells how often a judge prefers a model to its opponent."""
        return self.key.endswith("win_rate")

    @property
    def is_judged(self) -> bool:
        """Whether a judge made it, of pairs of answers."""
        return self.is_win_rate or self.key == "ties"

    @property
    def is_difference(self) -> bool:
        """Whether it tells how far a model is from its opponent."""
        return self.key.startswith("delta_") or self.key == "gap_closed"

    @property
    def head(self) -> str:
        """Its name as a column's head: it breaks between words only, and a short one not at all."""
        shown = names.plain(self.condition.rpartition(":")[2]) or self.metric.name
        name = shown.replace("-", "\u2011")
        return name.replace(" ", "\u00a0") if len(name) <= 14 else name

    @property
    def under(self) -> list[str]:
        """The lines below its name: opponent and judge."""
        if self.condition:
            return []
        opponent = f"against {names.model_name(self.against)}" if self.against and self.key != "text_share" else ""
        return [line for line in (opponent, f"judge: {self.judge}" if self.judge else "") if line]


@dataclass(frozen=True)
class Cell:
    """A value and its 95 % interval, as texts and numbers; `mark` is "best", or for the better ("up") or the worse
    ("down") where the interval of a difference leaves zero out and one way is better.
    """

    value: str
    interval: str
    raw: float
    low: float | None
    high: float | None
    mark: str = ""


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
    """Models by columns; `count` is the greatest number of instructions behind a figure."""

    title: str
    columns: list[Column]
    lines: list[Line]
    count: int


def column_of(row: Result) -> Column:
    """The column that a row belongs to; a judge follows the metric's name after a colon."""
    key, _, judge = row.metric.partition(":")
    return Column(key, row.against, judge)


def places(rows: Sequence[Result]) -> list[tuple[str, str]]:
    """(benchmark, condition) of the rows as they come, those over all conditions first."""
    found = dict.fromkeys((row.benchmark, row.condition) for row in rows)
    return sorted(found, key=lambda place: place[1] not in ("", ALL))


def at(rows: Sequence[Result], place: tuple[str, str]) -> list[Result]:
    """The rows of one benchmark and condition."""
    return [row for row in rows if (row.benchmark, row.condition) == place]


def scores(rows: Sequence[Result], title: str) -> Table | None:
    """Models by metrics, with the win rates and ties against the base; the best SpeechLM of each column is marked."""

    def wanted(column: Column) -> bool:
        return not column.is_difference and (not column.is_judged or column.against in ("", "base"))

    return select(rows, title, wanted)


def differences(rows: Sequence[Result], title: str) -> Table | None:
    """Paired differences; those whose interval leaves zero out are marked."""
    return select(rows, title, lambda column: column.is_difference)


def select(rows: Sequence[Result], title: str, wanted: Callable[[Column], bool]) -> Table | None:
    """The table of the wanted columns; None where there are none."""
    found = {(row.model, column_of(row)): row for row in rows if wanted(column_of(row))}
    columns = list(dict.fromkeys(column for _, column in found))
    columns.sort(key=lambda c: (names.metric_order(c.key), names.model_order(c.against)))
    return lay_out(found, columns, title) if found else None


def lay_out(found: dict[tuple[str, Column], Result], columns: list[Column], title: str) -> Table:
    """A table of rows by model and column, with the best or the clear cells marked."""
    models = sorted({model for model, _ in found}, key=names.model_order)
    best = {column: _best(column, models, found) for column in columns}
    lines = [Line(m, [_cell(found.get((m, c)), c, best[c] == m) for c in columns]) for m in models]
    return Table(title, columns, lines, max(row.n for row in found.values()))


def _best(column: Column, models: Sequence[str], found: dict[tuple[str, Column], Result]) -> str:
    """The SpeechLM with the best value; none where no way is better, rivals tie, or there is nothing to compare."""
    rivals = [m for m in models if m not in names.REFERENCES and (m, column) in found]
    if len(rivals) < 2 or column.metric.better == 0 or column.is_difference:
        return ""
    first, second = sorted(rivals, key=lambda m: -column.metric.better * found[m, column].value)[:2]
    return "" if found[first, column].value == found[second, column].value else first


def is_clear(row: Result) -> bool:
    """Whether the interval of a difference leaves zero out."""
    return row.low is not None and row.high is not None and (row.low > 0 or row.high < 0)


def _cell(row: Result | None, column: Column, best: bool) -> Cell | None:
    if row is None:
        return None
    metric = column.metric
    known = row.low is not None and row.high is not None
    between = " to " if metric.signed else " – "
    interval = between.join(map(metric.format, (row.low, row.high))) if known else ""  # type: ignore[arg-type]
    mark = "best" if best else ""
    if column.is_difference and is_clear(row):
        gain = metric.better * row.value
        mark = "up" if gain > 0 else "down" if gain < 0 else ""
    return Cell(metric.format(row.value), interval, row.value, row.low, row.high, mark)
