"""Results: the rows of `results.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rba import config
from rba.document import parse_json
from rba.errors import DataError, RecipeError
from rba.evaluation.table import print_table
from rba.workspace import write_json

__all__ = ["FILE", "Result", "load_results", "print_table", "write_results"]

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
    """The rows of a run folder, or of a results.json. Raises DataError where it is missing, damaged or without rows."""
    path = Path(folder)
    if path.is_dir():
        path = next((p for p in (path / FILE, path / "evaluation" / FILE) if p.is_file()), path / "evaluation" / FILE)
    try:
        rows = [config.build(Result, row) for row in parse_json(path.read_text(encoding="utf-8"))]
    except OSError as error:
        raise DataError("there are no results", str(path), "run rba evaluate first") from error
    except (ValueError, TypeError, RecipeError) as error:
        ours = path.name == FILE
        fix = "delete the file and run rba evaluate again" if ours else f"name a run folder or a {FILE}"
        raise DataError("the results cannot be read", str(path), fix) from error
    if not rows:
        raise DataError("there are no rows in the results", str(path), "leave the file out, or run rba evaluate again")
    return rows
