"""The head of the report: one sentence on the result, and the key figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rba.meter import duration
from rba.report import facts, names
from rba.report.source import Source
from rba.report.tables import Column, Row, Table, column_of, tables


@dataclass(frozen=True)
class Figure:
    """A key figure: a number with its unit, what it is, and a remark."""

    value: str
    unit: str
    name: str
    remark: str = ""


def main_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows of the benchmark and condition with the most figures."""
    made = tables(rows)
    return [] if not made else [r for r in rows if _place(r) == (made[0].benchmark, made[0].condition)]


def _place(row: Row) -> tuple[str, str]:
    return str(row.get("benchmark") or ""), str(row.get("condition") or "")


def sentence(rows: Sequence[Row]) -> str:
    """What the run found, in one sentence with the interval: the best aligned model's main metric beside base and SFT."""
    best = _champion(rows)
    if best is None:
        return "This run has no evaluation yet."
    metric = names.metric(column_of(best).key)
    unit = " %" if metric.percent else ""
    said = f"{names.model_name(best['model'])} reaches {_lower(metric.name)} {metric.format(best['value'])}{unit}"
    if best.get("low") is not None and best.get("high") is not None:
        said += f" (95 % interval {metric.format(best['low'])} to {metric.format(best['high'])})"
    others = [(m, _value(rows, m, column_of(best))) for m in ("base", "sft") if m != best["model"]]
    beside = [f"{metric.format(value)}{unit} for {names.model_name(m)}" for m, value in others if value is not None]
    return f"{said}, against {' and '.join(beside)}." if beside else f"{said}."


def _lower(name: str) -> str:
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def _champion(rows: Sequence[Row]) -> Row | None:
    """The row of the best aligned model by the first main metric that was measured without an opponent."""
    for key, metric in names.METRICS.items():
        rivals = [
            r
            for r in rows
            if column_of(r).key == key and r["model"] not in ("base", *names.REFERENCES) and not r.get("against")
        ]
        if metric.main and rivals:
            return max(rivals, key=lambda r: metric.better * float(r["value"]))
    return None


def _value(rows: Sequence[Row], model: str, column: Column) -> float | None:
    return next((float(r["value"]) for r in rows if r["model"] == model and column_of(r) == column), None)


def figures(source: Source, rows: Sequence[Row]) -> list[Figure]:
    """The key figures that the run has: agreement, win rate, consistency, hearing, data and cost."""
    made = [_figure(rows, key, against) for key, against in (("recall", ""), ("win_rate", "base"), ("consistency", ""))]
    made += [_hearing(source), *_data(source), _cost(source)]
    return [figure for figure in made if figure]


def _figure(rows: Sequence[Row], key: str, against: str) -> Figure | None:
    """The best aligned model's value of a metric, beside the base model's or its opponent."""
    metric = names.metric(key)
    rivals = [
        r
        for r in rows
        if column_of(r).key == key
        and str(r.get("against") or "") == against
        and r["model"] not in ("base", *names.REFERENCES)
    ]
    if not rivals:
        return None
    best = max(rivals, key=lambda r: metric.better * float(r["value"]))
    remark = names.model_name(best["model"])
    base = _value(rows, "base", column_of(best))
    if base is not None:
        remark += f"; base {metric.format(base)}"
    name = f"{metric.name} against {names.model_name(against).lower()}" if against else metric.name
    return Figure(metric.format(best["value"]), "%" if metric.percent else "", name, remark)


def _hearing(source: Source) -> Figure | None:
    wer: Any = source.notes.get("connect", {}).get("wer")
    if not isinstance(wer, dict) or "value" not in wer:
        return None
    remark = f"{wer['utterances']} unseen requests, unseen speakers" if "utterances" in wer else ""
    return Figure(f"{100 * wer['value']:.1f}", "%", "Connector word error rate", remark)


def _data(source: Source) -> list[Figure]:
    made = []
    if source.utterances:
        hours = sum(u.duration for u in source.utterances) / 3600
        speakers = len({u.speaker for u in source.utterances})
        remark = f"{len(source.utterances):,} utterances, {speakers:,} speakers"
        made.append(Figure(f"{hours:.1f}", "h", "Synthetic speech", remark))
    if source.instructions:
        counts = [f"{line['instructions']} {line['split']}" for line in facts.splits(source)]
        made.append(Figure(f"{len(source.instructions):,}", "", "Instructions", ", ".join(counts)))
    return made


def _cost(source: Source) -> Figure | None:
    lines = facts.costs(source)
    if not lines:
        return None
    value, _, unit = duration(sum(line["seconds"] for line in lines)).partition(" ")
    peaks = [line["peak"] for line in lines if isinstance(line["peak"], int | float)]
    remark = f"peak memory {max(peaks):.1f} GiB" if peaks else "all stages"
    return Figure(value, unit, "Wall time", remark)


def strips(table: Table) -> list[tuple[str, str, list[Any], float | None]]:
    """The dot plots of a table's main metrics: (title, what it is, intervals, reference line)."""
    from rba.report.charts import Interval

    made = []
    for i, column in enumerate(table.columns):
        if not column.metric.main:
            continue
        scale = 100 if column.metric.percent else 1
        rows = []
        for line in table.lines:
            if cell := line.cells[i]:
                low, high = (None if v is None else v * scale for v in (cell.low, cell.high))
                rows.append(Interval(line.name, cell.raw * scale, low, high, line.colour, cell.value))
        title = column.metric.name + (f" against {names.model_name(column.against)}" if column.against else "")
        note = column.metric.note + (f"; judge: {column.judge}" if column.judge else "")
        if len(rows) > 1:
            made.append((title, note, rows, 50.0 if column.against else None))
    return made
