"""Figures of results files, pooled over their seeds as `rba compare` does: every metric, opponent and condition.

python benchmarks/pooled.py docs/results/strong-long.json --model rba-opd-sharp --against sft
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from rba.evaluation.pool import pool, runs_of
from rba.evaluation.results import Result, load_results

KEYS = ("model", "benchmark", "condition", "metric", "against")


def pooled(files: Iterable[str | Path]) -> list[Result]:
    """The figures that all runs of some results files have, over all of them; a single run's as they stand."""
    runs = runs_of([load_results(file) for file in files])
    return pool(runs) if len(runs) > 1 else list(runs[0])


def main(words: Sequence[str] | None = None) -> None:
    """Print the figures asked for, one a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", help="results files, or run folders")
    for key in KEYS:
        parser.add_argument(f"--{key}", nargs="+", help=f"only these of the column {key}")
    asked = vars(parser.parse_args(words))
    for row in pooled(asked["results"]):
        if all(asked[key] is None or getattr(row, key) in asked[key] for key in KEYS):
            where = " ".join(getattr(row, key) or "-" for key in KEYS)
            interval = "" if row.low is None or row.high is None else f" [{row.low:.4f}, {row.high:.4f}]"
            print(f"{where} {row.value:.4f}{interval} n={row.n}")


if __name__ == "__main__":
    main()
