"""Results: the rows of `results.json`, and the table that is printed of them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rba.errors import DataError
from rba.workspace import write_json

FILE = "results.json"


@dataclass(frozen=True)
class Result:
    """One figure: `metric` of `model` on `benchmark` under `condition`, with its 95 % interval from `low` to `high`.

    `against` names the opponent of a win rate or difference, else it is empty; a judge follows the metric's name after
    a colon ("win_rate:recall"). `n` counts instructions; bounds are None where the sample does not determine them.
    """

    model: str
    benchmark: str
    condition: str
    metric: str
    against: str
    value: float
    low: float | None
    high: float | None
    n: int
    seed: int


def write_results(path: Path, rows: Sequence[Result]) -> None:
    """Write the rows as a JSON list, atomically; figures to six decimals."""
    write_json(path, [{k: _round(v) for k, v in dataclasses.asdict(row).items()} for row in rows])


def _round(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value


def load_results(folder: str | Path) -> list[Result]:
    """The rows of a run folder, or of a results.json. Raises DataError where it is missing or damaged."""
    path = Path(folder)
    if path.is_dir():
        path = next((p for p in (path / FILE, path / "evaluation" / FILE) if p.is_file()), path / "evaluation" / FILE)
    try:
        return [Result(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except OSError as error:
        raise DataError("there are no results", str(path), "run rba evaluate first") from error
    except (ValueError, TypeError) as error:
        raise DataError(
            "the results cannot be read", str(path), "delete the file and run rba evaluate again"
        ) from error


COLUMNS = {
    "recall": "recall",
    "delta_recall": "recall - base",
    "similarity": "similarity",
    "win_rate": "win rate",
    "lc_win_rate": "LC win rate",
    "consistency": "consistency",
    "distinct_2": "distinct-2",
    "transcript_wer": "WER",
    "deaf": "not heard",
    "tokens": "tokens",
}
_SHARES = {"win_rate", "lc_win_rate", "transcript_wer", "deaf"}


def print_table(source: str | Path | Iterable[Result]) -> None:
    """Print models by metrics over all conditions, each figure above its 95 % interval; win rates are against the base.

    `source` is a run folder, a results.json or rows. A terminal gets lines and bold heads, a log plain text.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = load_results(source) if isinstance(source, str | Path) else list(source)
    cells = {(r.model, r.metric): r for r in rows if r.condition == "all" and r.against in ("", "base")}
    models = list(dict.fromkeys(r.model for r in rows))
    shown = dict.fromkeys(m for key in COLUMNS for m in sorted({r.metric for r in cells.values()}) if _key(m) == key)
    table = Table(box=box.SIMPLE_HEAD, title="Held-out speech, 95 % intervals below each figure", title_justify="left")
    table.add_column("model")
    for metric in shown:
        table.add_column(_head(metric), justify="right")
    for model in models:
        table.add_row(model, *(_cell(cells.get((model, metric))) for metric in shown))
    is_terminal = sys.stdout.isatty()
    Console(width=None if is_terminal else 200, highlight=False).print(table)


def _key(metric: str) -> str:
    return metric.partition(":")[0]


def _head(metric: str) -> str:
    key, _, judge = metric.partition(":")
    return COLUMNS[key] + (f"\n({judge})" if judge else "")


def _cell(row: Result | None) -> str:
    if row is None:
        return ""
    percent = _key(row.metric) in _SHARES
    value = _figure(row.value, percent, row.metric)
    if row.low is None or row.high is None:
        return value
    return f"{value}\n{_figure(row.low, percent, row.metric)}..{_figure(row.high, percent, row.metric)}"


def _figure(value: float, percent: bool, metric: str) -> str:
    if percent:
        return f"{100 * value:.1f} %"
    return f"{value:.1f}" if metric == "tokens" else f"{value:+.3f}" if metric.startswith("delta") else f"{value:.3f}"
