"""Results of several runs as one: the same recipe with other seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from scipy.special import stdtrit

from rba.errors import DataError
from rba.evaluation.bootstrap import LEVEL
from rba.evaluation.metrics import BENCHMARK, ROBUSTNESS
from rba.evaluation.results import Result

EVERY_SEED = -1
_UPPER = (1 + LEVEL) / 2


def pool(runs: Sequence[Sequence[Result]]) -> list[Result]:
    """Every figure that all `runs` have, as its mean over them, with a 95 % interval; its seed is -1.

    Half the interval is the larger of two: what the S runs' own intervals say (another draw of instructions), the root
    of the sum of their squared halves, by S; and what lies between the runs (another seed), Student's t of S - 1
    degrees of freedom times sd / sqrt(S). Held-out instructions are each run's own, and `n` is their sum. The items of
    a benchmark may be the same in all: there the first is the mean of the halves, and `n` the most of one run. Without
    bounds in some run only the second is there, and with one run only the first. Raises DataError where the runs have
    no figure in common.
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
    first, value, runs = rows[0], fmean(row.value for row in rows), len(rows)
    own = first.benchmark in (BENCHMARK, ROBUSTNESS)
    found = []
    halves = [(row.high - row.low) / 2 for row in rows if row.low is not None and row.high is not None]
    if len(halves) == runs:
        found.append(math.hypot(*halves) / runs if own else fmean(halves))
    if runs > 1:
        found.append(float(stdtrit(runs - 1, _UPPER)) * stdev(row.value for row in rows) / math.sqrt(runs))
    low, high = (value - max(found), value + max(found)) if found else (None, None)
    where = first.model, first.benchmark, first.condition, first.metric, first.against
    return Result(*where, value, low, high, (sum if own else max)(row.n for row in rows), EVERY_SEED)
