"""The results table: models by metrics, each figure above its 95 % interval."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rba.evaluation.results import Result

COLUMNS = {
    "bleu": "BLEU %",
    "delta_bleu": "BLEU %\nover base",
    "chrf": "chrF %",
    "recall": "recall",
    "delta_recall": "recall\nover base",
    "delta_f1": "word F1\nover base",
    "similarity": "similarity",
    "win_rate": "win rate %",
    "lc_win_rate": "LC win rate %",
    "consistency": "consistency",
    "distinct_2": "distinct-2",
    "transcript_wer": "WER %",
    "deaf": "not heard %",
    "tokens": "tokens",
}
_PERCENT = {"bleu", "delta_bleu", "chrf", "win_rate", "lc_win_rate", "transcript_wer", "deaf"}
_LOG_WIDTH = 120

Column = tuple[str, list[str]]


def print_table(source: str | Path | Iterable[Result]) -> None:
    """Print models by main metrics over all conditions; win rates are against the base.

    `source` is a run folder, a results.json or rows. What does not fit beside each other goes into tables below.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from rba.evaluation.results import load_results

    rows = load_results(source) if isinstance(source, str | Path) else list(source)
    models = list(dict.fromkeys(row.model for row in rows))
    shown = _shown(rows)
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else _LOG_WIDTH, highlight=False)
    count = max((row.n for row in shown), default=0)
    print(f"held-out speech, {count} instructions; 95 % intervals below each figure")
    for pack in _packs(list(_columns(rows, models)), console.width - max(map(len, models), default=0) - 4):
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("model", no_wrap=True)
        for head, _ in pack:
            table.add_column(head, justify="right", no_wrap=True)
        for i, model in enumerate(models):
            table.add_row(model, *(cells[i] for _, cells in pack))
        with console.capture() as capture:
            console.print(table)
        print("\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines()))


def print_markdown(rows: Sequence[Result]) -> None:
    """Print the same figures as one Markdown table: models by metrics, intervals in brackets."""
    models = list(dict.fromkeys(row.model for row in rows))
    columns = list(_columns(rows, models))
    print("| model | " + " | ".join(head.replace("\n", " ") for head, _ in columns) + " |")
    print("| --- " * (1 + len(columns)) + "|")
    for i, model in enumerate(models):
        cells = (_bracketed(column[i]) for _, column in columns)
        print(f"| {model} | " + " | ".join(cells) + " |")


def _bracketed(cell: str) -> str:
    value, _, bounds = cell.partition("\n")
    return f"{value} [{bounds.replace('..', ', ')}]" if bounds else value


def _shown(rows: Sequence[Result]) -> list[Result]:
    place = rows[0].benchmark if rows else ""  # others have figures of the same names
    return [r for r in rows if r.benchmark == place and r.condition == "all" and r.against in ("", "base")]


def _columns(rows: Sequence[Result], models: Sequence[str]) -> Iterator[Column]:
    """The head and the cells of every metric that there is."""
    cells = {(r.model, r.metric): r for r in _shown(rows)}
    metrics = list(dict.fromkeys(metric for _, metric in cells))
    for key, title in COLUMNS.items():
        for metric in metrics:
            if _key(metric) == key:
                judge = metric.partition(":")[2]
                head = f"{title}\n({judge})" if judge else title
                yield head, [_cell(cells.get((model, metric))) for model in models]


def _packs(columns: Sequence[Column], width: int) -> Iterator[list[Column]]:
    """The columns cut into runs that fit into `width` characters."""
    pack: list[Column] = []
    used = 0
    for head, cells in columns:
        own = 3 + max(len(line) for cell in (head, *cells) for line in (cell.splitlines() or [""]))
        if pack and used + own > width:
            yield pack
            pack, used = [], 0
        pack.append((head, cells))
        used += own
    if pack:
        yield pack


def _key(metric: str) -> str:
    return metric.partition(":")[0]


def _cell(row: Result | None) -> str:
    if row is None:
        return ""
    value = _figure(row.value, row.metric)
    if row.low is None or row.high is None:
        return value
    return f"{value}\n{_figure(row.low, row.metric)}..{_figure(row.high, row.metric)}"


def _figure(value: float, metric: str) -> str:
    if _key(metric) in _PERCENT:
        return f"{100 * value:{'+' if metric.startswith('delta') else ''}.1f}"
    return f"{value:.1f}" if metric == "tokens" else f"{value:+.3f}" if metric.startswith("delta") else f"{value:.3f}"
