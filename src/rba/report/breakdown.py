"""Results broken down: win rates by opponent and judge, and scores by listening condition and by topic."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from rba.evaluation.results import Result
from rba.report import names
from rba.report.tables import ALL, Line, Table, column_of, lay_out, select
from rba.synthesis.tags import DIFFICULTIES, TOPICS

BY_CONDITION = (
    *("recall", "delta_recall", "f1", "delta_f1", "similarity", "text_share", "clean_share", "gap_closed"),
    *("win_rate", "lc_win_rate", "transcript_wer", "deaf"),
)
"""What is shown condition by condition."""


@dataclass(frozen=True)
class Matrix:
    """Win rates by model (lines) and opponent (columns), for one metric and judge.

    `paid` names those of the models that were trained for what the judge likes.
    """

    title: str
    judge: str
    opponents: list[str]
    lines: list[Line]
    paid: list[str]


def matrices(
    rows: Sequence[Result], place: str = "", paid: Mapping[str, Collection[str]] = MappingProxyType({})
) -> list[Matrix]:
    """A matrix per kind of win rate and judge; their titles begin with `place`.

    `paid` holds the judges whose liking models were trained for.
    """
    kinds = dict.fromkeys((c.key, c.judge) for c in map(column_of, rows) if c.is_win_rate and c.against)
    made = []
    for key, judge in sorted(kinds, key=lambda kind: names.metric_order(kind[0])):
        own = [row for row in rows if row.against and row.metric in (key, f"{key}:{judge}")]
        table = select([row for row in own if column_of(row).judge == judge], "", lambda column: True)
        if table:
            opponents = [names.model_name(column.against) for column in table.columns]
            own_judge = [line.name for line in table.lines if judge in paid.get(line.model, ())]
            made.append(Matrix(place + names.metric(key).name, judge, opponents, table.lines, own_judge))
    return made


def by_condition(rows: Sequence[Result]) -> list[Table]:
    """A table of models by conditions per metric, for the rows of one benchmark that has several conditions."""
    return _spread([row for row in rows if ":" not in row.condition], "")


def by_topic(rows: Sequence[Result]) -> list[Table]:
    """The same by topic, then by difficulty, each in the paper's order."""
    made = []
    for kind, known in (("topic", TOPICS), ("difficulty", DIFFICULTIES)):
        order = {f"{kind}:{name}": place for place, name in enumerate(known)}
        own = [row for row in rows if row.condition in ("", ALL) or row.condition.startswith(f"{kind}:")]
        own.sort(key=lambda row: -1 if row.condition in ("", ALL) else order.get(row.condition, len(order)))
        made += _spread(own, f" by {kind}")
    return made


def _spread(rows: Sequence[Result], by: str) -> list[Table]:
    conditions = list(dict.fromkeys(row.condition for row in rows))
    kinds = dict.fromkeys(column_of(row) for row in rows if row.condition not in ("", ALL))
    kinds = dict.fromkeys(c for c in kinds if c.key in BY_CONDITION)
    made = []
    for kind in sorted(kinds, key=lambda c: (BY_CONDITION.index(c.key), names.model_order(c.against))):
        own = [row for row in rows if column_of(row) == kind]
        spread = {(row.model, replace(kind, condition=row.condition or ALL)): row for row in own}
        columns = [replace(kind, condition=c or ALL) for c in conditions]
        title = " ".join([f"{names.place_name(rows[0].benchmark, '')}{by}: {kind.metric.name}", *kind.under])
        made.append(lay_out(spread, [c for c in columns if any(c == found for _, found in spread)], title))
    return made
