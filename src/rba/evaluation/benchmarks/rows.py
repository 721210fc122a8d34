"""From the answers to a benchmark to its rows in results.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rba.evaluation.answers import Answer
from rba.evaluation.benchmarks import translation
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.load import Benchmark
from rba.evaluation.benchmarks.measures import Measure, mean, rate
from rba.evaluation.benchmarks.scorers import SCORERS
from rba.evaluation.bootstrap import Bootstrap, interval
from rba.evaluation.collect import AGAIN, TEACHER, TEXT
from rba.evaluation.results import Result
from rba.rewards.deaf import did_not_hear
from rba.rewards.recall import f1, recall
from rba.speech.word_errors import word_errors

ALL, BASE, SFT = "all", "base", "sft"


def rows(benchmark: Benchmark, answers: Sequence[Answer], resamples: int, seed: int) -> list[Result]:
    """All rows: each measure of each model with its interval, and the main one against base, SFT and typed input.

    Only items that every model answered count, so that every comparison is paired.
    """
    said: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        if answer.instruction_id in benchmark.items and answer.model != AGAIN:
            said.setdefault(answer.model, {})[answer.instruction_id] = answer
    names = [name for name in benchmark.items if said and all(name in own for own in said.values())]
    if not names:
        return []
    items = [benchmark.items[name] for name in names]
    table = {model: [own[name] for name in names] for model, own in said.items()}
    measures = {model: _measures(benchmark, items, table, model) for model in table}
    weights_SM = Bootstrap(len(items), resamples, seed).weights_SN
    return list(_rows(benchmark.settings.name, measures, weights_SM, seed))


def _measures(
    benchmark: Benchmark, items: Sequence[Item], table: Mapping[str, Sequence[Answer]], model: str
) -> dict[str, Measure]:
    """The scorer's measures, then those that every benchmark has."""
    answers = table[model]
    texts = [answer.text for answer in answers]
    if benchmark.scorer == "translation":
        found = translation.score(items, texts, translation.target_of(benchmark.settings))
    else:
        found = dict(SCORERS[benchmark.scorer](items, texts))
    if benchmark.scorer == "open" and TEACHER in table and model != TEACHER:
        wanted = [answer.text for answer in table[TEACHER]]
        found = {
            "recall": mean([recall(text, want) for text, want in zip(texts, wanted)]),
            "f1": mean([f1(text, want) for text, want in zip(texts, wanted)]),
            **found,
        }
    found["deaf"] = mean([did_not_hear(text) for text in texts], better=-1)
    found["finished"] = mean([answer.finished for answer in answers])
    if model != TEACHER:
        found["tokens"] = mean([answer.tokens for answer in answers], better=0)
    if any(answer.heard is not None for answer in answers):
        pairs = [word_errors(item.text, answer.heard or "") for item, answer in zip(items, answers)]
        found["transcript_wer"] = rate([errors for errors, _ in pairs], [count for _, count in pairs])
    return found


def _rows(
    name: str, measures: Mapping[str, Mapping[str, Measure]], weights_SM: np.ndarray, seed: int
) -> Iterator[Result]:
    statistics = {m: {key: one.statistic(weights_SM) for key, one in own.items()} for m, own in measures.items()}

    def row(model: str, metric: str, statistic_S: np.ndarray, n: int, against: str = "") -> Iterator[Result]:
        found = interval(statistic_S, n)
        if found.value is not None:
            yield Result(model, name, ALL, metric, against, found.value, found.low, found.high, n, seed)

    for model, own in measures.items():
        for key, measure in own.items():
            yield from row(model, key, statistics[model][key], measure.count)
        main, measure = next(iter(own.items()))
        for opponent in (BASE, SFT):
            if opponent in measures and model not in (opponent, TEACHER) and main in statistics[opponent]:
                gain_S = statistics[model][main] - statistics[opponent][main]
                yield from row(model, f"delta_{main}", gain_S, measure.count, opponent)
        if model not in (BASE, TEXT, TEACHER) and {BASE, TEXT} <= set(measures) and measure.better:
            gained_S = statistics[model][main] - statistics[BASE][main]
            gap_S = statistics[TEXT][main] - statistics[BASE][main]
            there = measure.better * gap_S > 1e-9
            share_S = np.divide(gained_S, gap_S, out=np.full(len(gap_S), np.nan), where=there)
            yield from row(model, "gap_closed", share_S, measure.count, BASE)
