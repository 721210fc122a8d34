"""The head of the report: one sentence on the result, and the key figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rba.evaluation.results import Result
from rba.meter import duration
from rba.report import facts, names
from rba.report.source import Source
from rba.report.tables import column_of, is_clear


@dataclass(frozen=True)
class Figure:
    """A key figure: a number with its unit, what it is, and a remark."""

    value: str
    unit: str
    name: str
    remark: str = ""


def sentence(rows: Sequence[Result]) -> str:
    """What the run found: the aligned model that agrees most with the teacher, and how it stands to base and SFT."""
    key = "bleu" if _best(rows, "bleu") else "recall"  # of translations, the score that they are known by
    best, metric = _best(rows, key), names.metric(key)
    if best is None:
        return "This run has no evaluation yet."
    alone = len({r.model for r in rows} - {"base", *names.REFERENCES}) == 1
    name = names.model_name(best.model)
    said = f"{name} reaches" if alone else f"Of the aligned models {name} agrees most with the teacher:"
    said += f" {metric.name if key == 'bleu' else metric.name.lower()} {metric.format(best.value)}"
    if best.low is not None and best.high is not None:
        said += f" (95 % interval {metric.format(best.low)} to {metric.format(best.high)})"
    gaps = [gap for opponent in ("base", "sft") if (gap := _find(rows, best.model, f"delta_{key}", opponent))]
    return f"{said}, {' and '.join(_gap(gap, metric) for gap in gaps)}." if gaps else f"{said}."


def _gap(row: Result, metric: names.Metric) -> str:
    opponent = {"base": "the base model"}.get(row.against, names.model_name(row.against))
    distance = f"{metric.format(abs(row.value))} {'above' if row.value >= 0 else 'below'} {opponent}"
    return distance if is_clear(row) else f"{distance} (within chance)"


def _best(rows: Sequence[Result], metric: str, against: str = "") -> Result | None:
    """The best aligned model's row of a metric, whatever its judge; of several judges the first."""
    rivals = [r for r in rows if column_of(r).key == metric and r.against == against]
    rivals = [r for r in rivals if r.metric == rivals[0].metric and r.model not in ("base", *names.REFERENCES)]
    return max(rivals, key=lambda r: names.metric(metric).better * r.value) if rivals else None


def _find(rows: Sequence[Result], model: str, metric: str, against: str = "") -> Result | None:
    return next((r for r in rows if (r.model, r.metric, r.against) == (model, metric, against)), None)


def figures(source: Source, rows: Sequence[Result]) -> list[Figure]:
    """The key figures that the run has: agreement, win rate, consistency, the gap closed, hearing, data and cost."""
    made = [
        _score(rows, "bleu"),
        _score(rows, "recall"),
        _score(rows, "consistency"),
        _win_rate(rows),
        _gap_closed(rows),
        _ceiling(rows),
        _hearing(source, rows),
    ]
    made += [*_data(source), _cost(source)]
    return [figure for figure in made if figure]


def _score(rows: Sequence[Result], key: str) -> Figure | None:
    best = _best(rows, key)
    if best is None:
        return None
    metric, base = names.metric(key), _find(rows, "base", key)
    beside = f"; base {metric.format(base.value)}" if base else ""
    unit = "%" if metric.percent else ""
    return Figure(metric.format(best.value), unit, metric.name, names.model_name(best.model) + beside)


def _win_rate(rows: Sequence[Result]) -> Figure | None:
    best = _best(rows, "win_rate", "base")
    if best is None:
        return None
    metric, judge = names.metric("win_rate"), column_of(best).judge
    remark = f"{names.model_name(best.model)}; judge: {judge}" if judge else names.model_name(best.model)
    return Figure(metric.format(best.value), "%", "Win rate against base", remark)


def _gap_closed(rows: Sequence[Result]) -> Figure | None:
    """How much of what the base loses by hearing in place of reading the model has won back."""
    best = _best(rows, "gap_closed", "base")
    if best is None:
        return None
    metric, remark = names.metric("gap_closed"), names.model_name(best.model)
    if best.low is not None and best.high is not None:
        remark += f"; 95 % interval {metric.format(best.low)} to {metric.format(best.high)}"
    return Figure(metric.format(best.value), "%", "Of the speech\u2013text gap closed", remark)


def _ceiling(rows: Sequence[Result]) -> Figure | None:
    """How much of its own agreement the model keeps when it is spoken to."""
    best, base = _best(rows, "text_share", "text"), _find(rows, "base", "text_share", "text")
    if best is None:
        return None
    metric = names.metric("text_share")
    beside = f"; base {metric.format(base.value)} %" if base else ""
    return Figure(metric.format(best.value), "%", "Of the text ceiling", names.model_name(best.model) + beside)


def _hearing(source: Source, rows: Sequence[Result]) -> Figure | None:
    """The connector's word error rate: as its own stage measured it, else on the held-out speech."""
    noted: Any = source.notes.get("connect", {}).get("wer")
    if isinstance(noted, dict) and "value" in noted:
        remark = f"{noted['utterances']} unseen requests" if "utterances" in noted else "unseen requests"
        return Figure(f"{100 * noted['value']:.1f}", "%", "Connector word error rate", remark)
    read = _find(rows, "base", "transcript_wer")
    return Figure(f"{100 * read.value:.1f}", "%", "Connector word error rate", "held-out speech") if read else None


def _data(source: Source) -> list[Figure]:
    made = []
    if source.instructions:
        counts = [f"{line['instructions']} {line['split']}" for line in facts.splits(source)]
        made.append(Figure(f"{len(source.instructions):,}", "", "Instructions", ", ".join(counts)))
    if source.utterances:
        hours = sum(u.duration for u in source.utterances) / 3600
        speakers = len({u.speaker for u in source.utterances})
        remark = f"{len(source.utterances):,} utterances, {speakers:,} speakers"
        value, unit = (f"{hours:.1f}", "h") if hours >= 1 else (f"{60 * hours:.0f}", "min")
        made.append(Figure(value, unit, "Synthetic speech", remark))
    return made


def _cost(source: Source) -> Figure | None:
    lines = facts.costs(source)
    if not lines:
        return None
    value, _, unit = duration(sum(line["seconds"] for line in lines)).partition(" ")
    peaks = [line["peak"] for line in lines if isinstance(line["peak"], int | float)]
    remark = f"peak memory {max(peaks):.1f} GiB" if peaks else "all stages"
    return Figure(value, unit, "Wall time", remark)
