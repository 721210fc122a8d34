"""Contests: win rates of every model against its opponents, by every judge, plain and at equal length; and ties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rba.data.seeds import derive
from rba.evaluation.cells import Cells
from rba.evaluation.collect import TEACHER
from rba.evaluation.disturbances import ALL
from rba.evaluation.judge import Judge, load_judge
from rba.evaluation.length_control import difficulty_term, length_controlled
from rba.evaluation.metrics import Sheet
from rba.evaluation.results import Result
from rba.evaluation.settings import SLOW_JUDGES, EvaluateSettings
from rba.evaluation.winrate import preferences

TIE = 0.5
"""A preference for neither: the judge sees no difference, or goes by the order of the two."""


def win_rates(
    sheet: Sheet,
    judge: Judge,
    opponents: Sequence[str],
    limit: int = 0,
    condition: str = ALL,
    within_M: np.ndarray | None = None,
) -> Iterator[Result]:
    """Win-rate rows of all models but the teacher against each opponent; lengths are in characters.

    Against the teacher a judge that needs a reference compares with the teacher's *second* answer, since its first is
    the one on trial; instructions without a second answer are left out. With `limit` above 0 only the first voice of
    that many instructions is judged; with `within_M` only those cells are, and the rows are those of `condition`.
    """
    cells = sheet.cells
    for opponent in opponents:
        if opponent not in cells.answers:
            continue
        references, mask_M = _references(cells, judge, opponent)
        mask_M &= _limited(cells, limit, sheet.seed) & (True if within_M is None else within_M)
        players = [model for model in cells.answers if model not in (opponent, TEACHER)]
        if mask_M.any() and players:
            wins_KM = np.stack([_judge(cells, judge, m, opponent, references, mask_M) for m in players])
            for k, player in enumerate(players):
                others_KM = np.delete(wins_KM, k, axis=0)
                yield from _rows(sheet, judge.name, player, opponent, wins_KM[k], others_KM, condition)


def quick_win_rates(
    sheet: Sheet, settings: EvaluateSettings, embedder: Any, members: Mapping[str, np.ndarray]
) -> Iterator[Result]:
    """The same by those of the recipe's judges that need no LLM, for the conditions with these cells (bool [M])."""
    for name in settings.judges:
        if name not in SLOW_JUDGES:
            judge = load_judge(name, embedder=embedder)
            for condition, within_M in members.items():
                yield from win_rates(sheet, judge, settings.opponents, 0, condition, within_M)


def _references(cells: Cells, judge: Judge, opponent: str) -> tuple[list[str], np.ndarray]:
    if opponent != TEACHER or not judge.needs_reference:
        return cells.references, np.ones(len(cells.utterances), dtype=bool)
    return [second or "" for second in cells.again], np.array([bool(second) for second in cells.again])


def _limited(cells: Cells, limit: int, seed: int) -> np.ndarray:
    """Which cells are judged [M]: all, or the first voice of `limit` instructions drawn by hash."""
    if not limit:
        return np.ones(len(cells.utterances), dtype=bool)
    ids = {u.instruction_id for u in cells.utterances}
    drawn = set(sorted(ids, key=lambda i: derive(seed, "judge", i))[:limit])
    return cells.first & np.array([u.instruction_id in drawn for u in cells.utterances])


def _judge(
    cells: Cells, judge: Judge, model: str, opponent: str, references: Sequence[str], mask_M: np.ndarray
) -> np.ndarray:
    """Preferences [M] for the model over the opponent; NaN outside the mask."""
    chosen = np.flatnonzero(mask_M)
    columns = [cells.texts, cells.said(model), cells.said(opponent), references]
    wins_M = np.full(len(mask_M), np.nan)
    wins_M[chosen] = preferences(judge, *([column[i] for i in chosen.tolist()] for column in columns))
    return wins_M


def _rows(
    sheet: Sheet,
    judge: str,
    model: str,
    opponent: str,
    wins_M: np.ndarray,
    others_KM: np.ndarray,
    condition: str,
) -> Iterator[Result]:
    cells, judged_M = sheet.cells, np.isfinite(wins_M)
    n = sheet.count(wins_M, judged_M)
    yield from sheet.row(model, f"win_rate:{judge}", sheet.mean(wins_M, judged_M), n, opponent, condition)
    if not judged_M.any():
        return
    ties = sheet.mean((wins_M == TIE).astype(float), judged_M)
    yield from sheet.row(model, f"ties:{judge}", ties, n, opponent, condition)
    lengths = [len(a) - len(b) for a, b in zip(cells.said(model), cells.said(opponent))]
    controlled = length_controlled(
        wins_M[judged_M],
        np.array(lengths, dtype=float)[judged_M],
        sheet.bootstrap.weights_SN[:, cells.owner[judged_M]],
        difficulty_term(others_KM[:, judged_M]),
    )
    yield from sheet.row(model, f"lc_win_rate:{judge}", controlled, n, opponent, condition)
