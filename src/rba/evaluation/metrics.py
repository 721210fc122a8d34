"""From answers to result rows: every figure of every model, with paired bootstrap intervals.

recall, f1, similarity      agreement with the teacher's answer (`rba.evaluation.scores`)
deaf, finished              shares of answers that did not hear, and that ended by themselves
length, tokens              words and tokens of an answer
transcript_wer              word error rate of what the connector (or the cascade's recogniser) read
consistency, distinct_1/2   agreement across voices, and variety across instructions beside it
delta_*                     the model minus `against`, paired
text_share                  recall as a share of the same LLM's when it reads the text
clean_share                 recall as a share of the same model's to the same requests in the condition "clean"
gap_closed                  (model - base) / (text - base) in recall: the share of the speech-text gap that is closed
win_rate:J, lc_win_rate:J   how often judge J prefers the model to `against`; the same at equal length
ties:J                      how often it prefers neither, which counts as half a win
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rba.data.utterance import Utterance
from rba.evaluation.bootstrap import Bootstrap, interval
from rba.evaluation.cells import Cells
from rba.evaluation.collect import TEACHER, TEXT
from rba.evaluation.consistency import consistency
from rba.evaluation.distinct_n import shares
from rba.evaluation.disturbances import ALL, CLEAN, masks
from rba.evaluation.listening import TYPED, condition_of, said_as
from rba.evaluation.results import Result
from rba.evaluation.scores import answer_embeddings, score, transcript_errors

BENCHMARK = "heldout"
ROBUSTNESS = "robustness"
BASE, SFT = "base", "sft"
_AGREEMENT = ("recall", "f1", "similarity")


@dataclass
class Sheet:
    """What rows are made from: the cells, one bootstrap for all, and per-answer scores [M] by model and name.

    Differences are taken to base and SFT, and over all conditions to the other `opponents`, too.
    """

    cells: Cells
    bootstrap: Bootstrap
    scores: dict[str, dict[str, np.ndarray]]
    seed: int
    benchmark: str = BENCHMARK
    opponents: tuple[str, ...] = ()

    def against(self, model: str, condition: str = ALL) -> list[str]:
        """The models that a model is set against, by difference."""
        names = dict.fromkeys((BASE, SFT, *(self.opponents if condition == ALL else ())))
        return [name for name in names if name in self.scores and name not in (model, TEACHER)]

    def row(
        self, model: str, metric: str, statistic_S: np.ndarray, n: int, against: str = "", condition: str = ALL
    ) -> Iterator[Result]:
        """The row of a statistic [1 + R] of `n` instructions; none where it has no value."""
        found = interval(statistic_S, n)
        if found.value is not None:
            place = (model, self.benchmark, condition, metric, against)
            yield Result(*place, found.value, found.low, found.high, n, self.seed)

    def mean(self, values_M: np.ndarray, mask_M: np.ndarray) -> np.ndarray:
        """Mean over the masked cells in every resample [1 + R]."""
        return self.bootstrap.mean(np.where(mask_M, values_M, np.nan), self.cells.owner)

    def count(self, values_M: np.ndarray, mask_M: np.ndarray) -> int:
        """Instructions with a value among the masked cells."""
        return len(np.unique(self.cells.owner[mask_M & np.isfinite(values_M)]))


def make_sheet(cells: Cells, embedder: Any, resamples: int, seed: int, opponents: Sequence[str] = ()) -> Sheet:
    """Score all answers. `embedder` has `encode(texts) -> [N, D]`."""
    scores = {model: score(cells, model, embedder) for model in cells.answers}
    return Sheet(cells, Bootstrap(cells.n, resamples, seed), scores, seed, opponents=tuple(opponents))


def rows(sheet: Sheet, embedder: Any) -> Iterator[Result]:
    """All rows but the win rates."""
    yield from condition_rows(sheet, masks(sheet.cells.utterances))
    steady = {
        model: consistency(grid)
        for model in sheet.cells.answers
        if (grid := answer_embeddings(sheet.cells, model, embedder)) is not None
    }
    yield from _consistencies(sheet, steady)
    for model in sheet.cells.answers:
        yield from _distinct(sheet, model)


def condition_rows(sheet: Sheet, members: Mapping[str, np.ndarray]) -> Iterator[Result]:
    """The rows that every condition has, for the conditions with these cells (bool [M])."""
    for condition, mask_M in members.items():
        for model in sheet.cells.answers:
            yield from _means(sheet, model, condition, mask_M, list(sheet.scores[model]))
            yield from _hearing(sheet, model, condition, mask_M)
            yield from _deltas(sheet, model, condition, mask_M)
            yield from _of_text(sheet, model, condition, mask_M)


def robustness_rows(sheet: Sheet, conditions: Sequence[str]) -> Iterator[Result]:
    """The same for requests said under listening conditions, and what each model keeps of its recall in the clean."""
    members = members_of(sheet.cells.utterances, conditions)
    yield from condition_rows(sheet, {name: mask_M for name, mask_M in members.items() if mask_M.any()})
    for name in conditions:
        for model in sheet.cells.answers:
            if CLEAN in members and name != CLEAN:
                yield from _of_clean(sheet, model, name, members)


def agreement_rows(sheet: Sheet, members: Mapping[str, np.ndarray]) -> Iterator[Result]:
    """Agreement with the teacher's answers, and its paired differences, for the conditions with these cells."""
    for condition, mask_M in members.items():
        for model in sheet.cells.answers:
            yield from _means(sheet, model, condition, mask_M, _AGREEMENT)
            yield from _deltas(sheet, model, condition, mask_M)


def members_of(utterances: Sequence[Utterance], conditions: Sequence[str]) -> dict[str, np.ndarray]:
    """Which of the utterances are said under each listening condition (bool [M])."""
    return {name: np.array([condition_of(u.id) == name for u in utterances]) for name in conditions}


def _of_clean(sheet: Sheet, model: str, condition: str, members: Mapping[str, np.ndarray]) -> Iterator[Result]:
    if model not in (TEXT, TEACHER):
        recall_M = sheet.scores[model]["recall"]
        said = np.array([said_as(u.id) for u in sheet.cells.utterances])
        both = np.intersect1d(said[members[condition]], said[members[CLEAN]])  # a condition may have refused some
        here, clean = (sheet.mean(recall_M, members[name] & np.isin(said, both)) for name in (condition, CLEAN))
        n = sheet.count(recall_M, members[condition] & np.isin(said, both))
        yield from sheet.row(model, "clean_share", _ratio(here, clean), n, condition=condition)


def _means(sheet: Sheet, model: str, condition: str, mask_M: np.ndarray, wanted: Sequence[str]) -> Iterator[Result]:
    for name in wanted:
        values_M = sheet.scores[model][name]
        statistic = sheet.mean(values_M, mask_M)
        yield from sheet.row(model, name, statistic, sheet.count(values_M, mask_M), condition=condition)


def _hearing(sheet: Sheet, model: str, condition: str, mask_M: np.ndarray) -> Iterator[Result]:
    found = transcript_errors(sheet.cells, model)
    if found is not None:
        errors_N, words_N = (sheet.bootstrap.total(values * mask_M, sheet.cells.owner) for values in found)
        statistic = sheet.bootstrap.ratio(errors_N, words_N)
        yield from sheet.row(model, "transcript_wer", statistic, int((words_N > 0).sum()), condition=condition)


def _deltas(sheet: Sheet, model: str, condition: str, mask_M: np.ndarray) -> Iterator[Result]:
    for opponent in sheet.against(model, condition) if model != TEACHER else ():
        for name in _AGREEMENT:
            if name in sheet.scores[model]:
                own_M, other_M = sheet.scores[model][name], sheet.scores[opponent][name]
                statistic = sheet.mean(own_M - other_M, mask_M)
                n = sheet.count(own_M - other_M, mask_M)
                yield from sheet.row(model, f"delta_{name}", statistic, n, opponent, condition)


def _of_text(sheet: Sheet, model: str, condition: str, mask_M: np.ndarray) -> Iterator[Result]:
    if model in (TEXT, TEACHER) or TEXT not in sheet.scores:
        return
    own_M, text_M = sheet.scores[model]["recall"], sheet.scores[TEXT]["recall"]
    own, text, n = sheet.mean(own_M, mask_M), sheet.mean(text_M, mask_M), sheet.count(own_M, mask_M)
    yield from sheet.row(model, "text_share", _ratio(own, text), n, TEXT, condition)
    # typed to, base is the typed input
    if model != BASE and BASE in sheet.scores and condition != TYPED:
        base = sheet.mean(sheet.scores[BASE]["recall"], mask_M)
        yield from sheet.row(model, "gap_closed", _ratio(own - base, text - base), n, BASE, condition)


def _ratio(part_S: np.ndarray, whole_S: np.ndarray) -> np.ndarray:
    """part / whole; NaN where there is no positive whole to have a share of."""
    return np.divide(part_S, whole_S, out=np.full(len(part_S), np.nan), where=whole_S > 1e-9)


def _consistencies(sheet: Sheet, steady: Mapping[str, np.ndarray]) -> Iterator[Result]:
    for model, values_N in steady.items():
        n = int(np.isfinite(values_N).sum())
        yield from sheet.row(model, "consistency", sheet.bootstrap.mean(values_N), n)
        for opponent in sheet.against(model):
            if opponent in steady:
                statistic = sheet.bootstrap.mean(values_N - steady[opponent])
                yield from sheet.row(model, "delta_consistency", statistic, n, opponent)


def _distinct(sheet: Sheet, model: str) -> Iterator[Result]:
    """Over the first voice of each instruction, lest voices that agree look like repetition."""
    said = [text for text, first in zip(sheet.cells.said(model), sheet.cells.first) if first]
    for n in (1, 2):
        parts_N, totals_N = shares(said, n)
        yield from sheet.row(model, f"distinct_{n}", sheet.bootstrap.ratio(parts_N, totals_N), len(said))
