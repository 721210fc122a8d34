"""Results of several runs as one: the same recipe with other seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from rba.errors import DataError
from rba.evaluation.results import Result

EVERY_SEED = -1
_Z = 1.959964


def pool(runs: Sequence[Sequence[Result]]) -> list[Result]:
    """Every figure that all `runs` have, as its mean over them, with a 95 % interval; its seed is -1, its n their sum.

    Runs are independent: each has instructions, voices and updates of its own. The standard error of a mean over S
    runs is the larger of two: what the runs' own intervals say, sqrt(sum_s se_s^2) / S with se = width / 3.92 (another
    draw of instructions), and what the runs show, sd / sqrt(S) (another seed, with the luck of S values). Without
    bounds in some run only the second is there, and with one run only the first. Raises DataError where the runs
    have no figure in common.
    """
    tables = [{_key(row): row for row in rows} for rows in runs]
    common = [key for key in tables[0] if all(key in table for table in tables)] if tables else []
    if not common:
        raise DataError("these runs have no figure in common", "compare", "name runs of one recipe with other seeds")
    return [_pooled([table[key] for table in tables]) for key in common]


def runs_of(files: Sequence[Sequence[Result]]) -> list[list[Result]]:
    """The runs whose rows stand in some results files: `rba compare --out` writes those of several into one.

    Raises DataError where two have the same seed: they are no two draws.
    """
    runs = [[row for row in rows if row.seed == seed] for rows in files for seed in dict.fromkeys(r.seed for r in rows)]
    seeds = [rows[0].seed for rows in runs]
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise DataError(f"two runs have the seed {twice[0]}", "compare", "name runs of one recipe with other seeds")
    return runs


def _key(row: Result) -> tuple[str, ...]:
    return row.model, row.benchmark, row.condition, row.metric, row.against


def _pooled(rows: Sequence[Result]) -> Result:
    first, value = rows[0], fmean(row.value for row in rows)
    errors = []
    widths = [row.high - row.low for row in rows if row.low is not None and row.high is not None]
    if len(widths) == len(rows):
        errors.append(math.hypot(*widths) / (2 * _Z) / len(rows))
    if len(rows) > 1:
        errors.append(stdev(row.value for row in rows) / math.sqrt(len(rows)))
    half = _Z * max(errors) if errors else None
    low, high = (None, None) if half is None else (value - half, value + half)
    where = first.model, first.benchmark, first.condition, first.metric, first.against
    return Result(*where, value, low, high, sum(row.n for row in rows), EVERY_SEED)
