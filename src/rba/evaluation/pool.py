"""Results of several runs as one: the same recipe with other seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from rba.errors import DataError
from rba.evaluation.bootstrap import LEVEL
from rba.evaluation.metrics import BENCHMARK, ROBUSTNESS
from rba.evaluation.results import Result

EVERY_SEED = -1
_UPPER = (1 + LEVEL) / 2
_Z = float(ndtri(_UPPER))
_GRID = 400


def pool(runs: Sequence[Sequence[Result]]) -> list[Result]:
    """Every figure that all `runs` have, as its mean over them, with a 95 % interval; its seed is -1.

    The runs are draws of instructions and of seeds. What a draw of instructions does, their own intervals say; what a
    seed adds, few runs can hardly tell. So the interval is a posterior: seeds add a spread tau to the standard error se
    of a run, with a half-Cauchy prior of scale se (Gelman 2006, for few groups: about as much, and maybe far more), and
    what lies between the runs tells more of it the more of them there are. Where a run has no bounds, it is Student's t
    over the runs.

    Held-out instructions are each run's own, and `n` is their sum. The items of a benchmark may be the same in all: se
    is then that of the mean, too, and `n` the most of one run. Raises DataError where the runs have no figure in
    common.
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
    own = first.benchmark in (BENCHMARK, ROBUSTNESS)
    halves = [(row.high - row.low) / 2 for row in rows if row.low is not None and row.high is not None]
    error = math.sqrt(fmean(half**2 for half in halves)) / _Z if len(halves) == len(rows) else 0.0
    if len(rows) == 1:
        half = halves[0] if halves else None
    elif error:
        half = _posterior_half(error, [row.value for row in rows], own)
    else:
        half = float(stdtrit(len(rows) - 1, _UPPER)) * stdev(row.value for row in rows) / math.sqrt(len(rows))
    low, high = (None, None) if half is None else (value - half, value + half)
    where = first.model, first.benchmark, first.condition, first.metric, first.against
    return Result(*where, value, low, high, (sum if own else max)(row.n for row in rows), EVERY_SEED)


def _posterior_half(error: float, values: Sequence[float], own: bool) -> float:
    """Half the central 95 % of the mean's posterior, a mixture of normal ones over the spread of seeds."""
    runs, apart = len(values), stdev(values)
    spread_T = np.geomspace(error / 1000, 1000 * max(error, apart), _GRID)
    variance_T = error**2 + spread_T**2
    prior_T = np.log(spread_T / variance_T)  # of the logarithm, since the grid is even in that
    likelihood_T = -(runs - 1) / 2 * (np.log(variance_T) + apart**2 / variance_T)
    weight_T = np.exp(prior_T + likelihood_T - (prior_T + likelihood_T).max())
    width_T = np.sqrt(variance_T / runs if own else error**2 + spread_T**2 / runs)

    def outside(half: float) -> float:
        return float(weight_T @ (2 * ndtr(-half / width_T))) / float(weight_T.sum()) - (1 - LEVEL)

    return float(brentq(outside, _Z * width_T[0], _Z * width_T[-1]))
