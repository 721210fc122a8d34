"""The answers to a run's own test as translations: corpus BLEU and chrF against the teacher's, and their gains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rba.evaluation.benchmarks.measures import Measure, corpus
from rba.evaluation.benchmarks.translation import bleu_metric, chrf_metric
from rba.evaluation.collect import TEACHER
from rba.evaluation.metrics import BASE, SFT, Sheet
from rba.evaluation.results import Result


def translation_rows(sheet: Sheet, members: Mapping[str, np.ndarray], language: str) -> Iterator[Result]:
    """`bleu` and `chrf` in [0, 1] of every model under the conditions with these cells (bool [M]), and their gains over
    base and SFT.

    `language` is the one translated to. Scores are of whole corpora, computed anew from their sums in every resample.
    Of the teacher, whose first translations are the references, the second ones count.
    """
    for name, metric in (("bleu", bleu_metric(language)), ("chrf", chrf_metric())):
        made = {model: _measure(sheet, metric, model) for model in sheet.cells.answers}
        for condition, mask_M in members.items():
            found = {model: _statistic(sheet, one, mask_M & there_M) for model, (one, there_M) in made.items()}
            for model, own_S in found.items():
                n = sheet.count(np.ones(len(mask_M)), mask_M & made[model][1])
                yield from sheet.row(model, name, own_S, n, condition=condition)
                for opponent in (BASE, SFT):
                    if opponent in found and model not in (opponent, TEACHER):
                        yield from sheet.row(model, f"delta_{name}", own_S - found[opponent], n, opponent, condition)


def _measure(sheet: Sheet, metric: object, model: str) -> tuple[Measure, np.ndarray]:
    """The sums of a model's translations, and which cells have one (bool [M])."""
    said = sheet.cells.again if model == TEACHER else sheet.cells.said(model)
    there_M = np.array([text is not None for text in said])
    return corpus(metric, [text or "" for text in said], [[wanted] for wanted in sheet.cells.references]), there_M


def _statistic(sheet: Sheet, measure: Measure, chosen_M: np.ndarray) -> np.ndarray:
    """The corpus score of the chosen cells in every resample [1 + R]; NaN where none is drawn."""
    weights_SM = sheet.bootstrap.weights_SN[:, sheet.cells.owner] * chosen_M
    drawn_S = weights_SM.any(1)
    found_S = np.full(len(weights_SM), np.nan)
    if drawn_S.any():
        found_S[drawn_S] = measure.statistic(weights_SM[drawn_S])
    return found_S
