"""The figures in docs/results/README.md are those of the files beside it, pooled over their seeds."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import pytest

from rba.evaluation.pool import pool, runs_of
from rba.evaluation.results import Result, load_results

FOLDER = Path(__file__).parents[1] / "docs" / "results"
LINES = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()

FRESH = "λ = 0.05, fresh answers, all pairs, paid for recall and similarity"
MODELS = {
    "base": ["base"],
    "SFT": ["sft"],
    "SFT on the typed words": ["sft-typed"],
    "KD": ["kd"],
    "KD, the strong teacher teaches tokens": ["kd-strong"],
    "GKD": ["gkd", "gkd-strong"],
    "GKD from the strong teacher": ["gkd-strong"],
    "GKD from it, sharpened": ["gkd-sharp"],
    "GKD, sharpened": ["gkd-sharp"],
    "OPD": ["opd"],
    "OPD, the SpeechLM's own LLM teaches tokens": ["opd"],
    "OPD, the strong teacher teaches tokens": ["opd-strong"],
    "OPD, sampled tokens": ["opd-sampled"],
    "OPD, speech alone": ["opd-speech"],
    "RBA-OPD, its preference alone": ["rba-opd-preference"],
    "RBA-OPD, Jensen-Shannon": ["rba-opd-jensen"],
    "RBA-OPD, forward KL": ["rba-opd-forward"],
    "GRPO, `dr_grpo`, not scaled": ["grpo-dr"],
    "GRPO, scaled by the batch": ["grpo-batch"],
    "GRPO, loss by answers": ["grpo-by-answer"],
    "GRPO, drawn every fourth update": ["grpo-rounds"],
    "the same, clipped higher": ["grpo-rounds-higher"],
    "OPD and its answers": ["opd-ce-strong"],
    "and its answers beside them": ["opd-ce-strong"],
    "DPO in a voice": ["dpo"],
    "RBA-Single": ["rba-single"],
    "RBA-Single, λ = 0.02": ["single-lam-0.02"],
    "RBA-Single with reference, λ = 0.02": ["single-reference-lam-0.02"],
    "RBA-Single with reference, without cross-entropy": ["single-reference-free-of-ce"],
    "RBA-Group": ["rba-group"],
    "RBA-Group, λ = 0.02": ["group-lam-0.02"],
    "RBA-Group, λ = 0.02, all pairs, paid for recall and similarity": ["group-lam-0.02-paid"],
    f"RBA-Group, {FRESH}": ["group-fresh", "rba-group-fresh"],
    "RBA-Group, β = 0.02": ["group-beta-0.02"],
    "RBA-Group, β = 0.5": ["group-beta-0.5"],
    "RBA-Group with reference": ["group-reference"],
    "RBA-Group, two voices": ["group-2-voices"],
    "RBA-Group, answers renewed every eight updates": ["group-refreshed"],
    "RBA-Group, half the instructions": ["group-half-data"],
    "RBA-Group, mean cross-entropy": ["group-mean-ce"],
    "the latter, β = 0.02": ["fresh-beta-0.02"],
    "the latter, β = 0.5": ["fresh-beta-0.5"],
    "the latter, two voices": ["fresh-2-voices"],
    "GRPO": ["grpo"],
    "GRPO, paid for similarity": ["grpo-similarity"],
    "RLOO": ["rloo"],
    "PPO": ["ppo"],
    "TARS": ["tars"],
    "RBA-OPD": ["rba-opd", "rba-opd-strong"],
    "RBA-OPD, paid for similarity": ["rba-opd-similarity"],
    "RBA-OPD and the teacher's answers (`rba_opd.ce: 0.2`)": ["rba-opd-ce"],
    "and the preference across voices: RBA-OPD": ["rba-opd-strong"],
    "RBA-OPD from it, sharpened": ["rba-opd-sharp"],
    "RBA-OPD, sharpened": ["rba-opd-sharp"],
    "RBA-OPD, twice the dense weight": ["rba-opd-heavy"],
    "twice the dense weight": ["rba-opd-heavy"],
    "RBA-OPD without its preference, sharpened": ["opd-ce-sharp"],
    "cascade": ["cascade"],
    "typed input": ["text"],
    "teacher": ["teacher"],
}
"""What the rows are called, and the models that it may mean: the first that a file has."""
METRICS = {
    "word F1": "f1",
    "recall": "recall",
    "reference-word recall": "recall",
    "similarity": "similarity",
    "consistency": "consistency",
    "BLEU": "bleu",
    "chrF": "chrf",
    "win rate": "win_rate",
    "LC win rate": "lc_win_rate",
    "gap closed": "gap_closed",
    "tokens": "tokens",
    "words an answer": "length",
    "ended": "finished",
    "answers that end by themselves": "finished",
    "share of typed-input recall": "text_share",
    "recall, of base's typed": "text_share",
}
IN_PERCENT = {"bleu", "chrf", "win_rate", "lc_win_rate", "finished", "text_share"}
OPPONENTS = {"base": "base", "SFT": "sft", "teacher": "teacher", "RBA-OPD, sharpened": "rba-opd-sharp"}
OPPONENTS |= {"GKD from the strong teacher": "gkd-strong"}
POOLED = {
    "all four seeds, 958 instructions": ["strong-tokens", "strong-tokens-fourth"],
    "four seeds, 960 instructions": ["strong-paper", "strong-tokens-fourth"],
}
"""Tables of more than the file that is named last above them, by their first cell."""


@dataclass(frozen=True)
class Scope:
    """What a row is about: some seeds or all, the opponent of columns that name none, and where it was asked."""

    seeds: tuple[int, ...] = ()
    against: str = ""
    place: tuple[str, str] = ("heldout", "all")


SCOPES = {
    "seeds 4 to 8 alone": {"seeds": (4, 5, 6, 7, 8)},
    "seeds 3 and 4": {"seeds": (3, 4)},
    "unseen engine": {"place": ("robustness", "engine")},
    "Kokoro": {"place": ("robustness", "engine")},
    "hibari, the engine of training": {"place": ("robustness", "clean")},
    "typed": {"place": ("robustness", "typed")},
    "Tatoeba": {"place": ("tatoeba", "all")},
    "recorded": {"place": ("prompts", "all")},
    "AlpacaEval": {"place": ("alpaca-eval", "all")},
    **{f"over {name}": {"against": model} for name, model in OPPONENTS.items()},
}
"""What stands before a colon in a row's name, or in a column's."""
NAMED = re.compile(r"\]\(([\w-]+)\.json\)")
CONDITIONS = {"clean": "clean", "other accent": "accent", "telephone": "telephone", "hall": "hall"}
CONDITIONS |= {f"noise {decibels} dB": f"noise-{decibels}" for decibels in (20, 10, 5, 0)}
CONDITIONS |= {"room": "room", "fast": "fast", "slow": "slow"}
INTERVAL = re.compile(r"([+-]?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]")
FIGURE = re.compile(r"([+-]?[\d.]+)(?: \[(-?[\d.]+), (-?[\d.]+)\])?")


def tables() -> Iterator[tuple[int, list[str], list[list[str]]]]:
    """Every table: its first line's number, the files named last above it, its cells with the header first."""
    files: list[str] = []
    start = 0
    for number, line in enumerate(LINES, 1):
        if line.startswith("|"):
            start = start or number
        elif start:
            rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in LINES[start - 1 : number - 1]]
            yield start, POOLED.get(rows[0][0], files), [rows[0], *rows[2:]]
            start = 0
        if found := NAMED.findall(line):
            files = found[-1:]


Key = tuple[str, str, str, str, str]
loaded = functools.cache(load_results)


@functools.cache
def tables_of(files: tuple[str, ...], seeds: tuple[int, ...] = ()) -> list[dict[Key, Result]]:
    """The rows of every run in some files, of some seeds or of all, by what they are about."""
    runs = runs_of([loaded(FOLDER / f"{name}.json") for name in files])
    runs = [rows for rows in runs if not seeds or rows[0].seed in seeds]
    return [{(r.model, r.benchmark, r.condition, r.metric, r.against): r for r in rows} for rows in runs]


def figure(tables: list[dict[Key, Result]], key: Key) -> Result | None:
    """The pooled figure of some runs, if all have it; a single run's as it stands."""
    rows = [table[key] for table in tables if key in table]
    if len(rows) < len(tables):
        return None
    return pool([[row] for row in rows])[0] if len(rows) > 1 else rows[0]


def compared(cells: Sequence[Sequence[str]]) -> bool:
    """Whether a table compares methods with base or SFT, a figure a cell."""
    names = [*cells[0], *(row[0] for row in cells)]
    told = cells[0][0] in METRICS or any(re.search(r"over (base|SFT)\b", name) for name in names)
    return told and cells[0][-1] != "from"


COMPARED = {start: (files, cells) for start, files, cells in tables() if compared(cells)}


def completed(head: str, before: str) -> str:
    """A column's head, where it begins with "over" or a judge with what the head to its left, `before`, begins with."""
    if head.startswith("over "):
        return f"{re.sub(' over .*', '', before)} {head}"
    return re.sub(r"\(.*", head, before) if head.startswith("(") else head


def column(head: str, scope: Scope) -> tuple[str, str]:
    """The metric and the opponent that a column's head says."""
    name, judge, against = head.replace(" %", ""), "recall", scope.against
    if found := re.search(r" \((\w+)(?: judge)?\)$", name):
        name, judge = name[: found.start()], found[1]
    if found := re.search(r" over (?:the )?(\w+)$", name):
        name, against = name[: found.start()], OPPONENTS[found[1]]
    metric = METRICS[name]
    if metric.endswith("win_rate"):
        return f"{metric}:{judge}", against
    if metric in ("tokens", "length", "finished"):
        return metric, ""
    if metric == "gap_closed":
        return metric, "base"
    if metric == "text_share":
        return metric, "text"
    return (f"delta_{metric}", against) if against else (metric, "")


def said(files: list[str], cells: Sequence[Sequence[str]]) -> Iterator[tuple[str, str, str, Result | None]]:
    """Every figure of a table with its row, its column and the result that it is."""
    if compared([[row[0]] for row in cells[1:]]) and not compared(cells[:1]):
        cells = list(zip(*cells))  # models beside each other
    scope = Scope(against="sft" if cells[0][0].endswith("over SFT") else "")
    for row in cells[1:]:
        name, place = row[0], scope.place
        if found := re.match(r"(?:\*\*(.+?)\*\*|(Kokoro|hibari.*?)): ", name):
            scope = replace(scope, **SCOPES[found[1] or found[2]])
            name, place = name[found.end() :], scope.place
        runs = tables_of(tuple(files), scope.seeds)
        models = set.intersection(*({key[0] for key in run} for run in runs))
        model = next(m for m in MODELS[name] if m in models)
        head = ""
        for title, cell in zip(cells[0][1:], row[1:]):
            if ": " in title:
                place = SCOPES[title.partition(": ")[0]]["place"]
            head = completed(title.rpartition(": ")[2], head)
            if title in CONDITIONS:  # the corner says what is measured
                head, place = cells[0][0], ("robustness", CONDITIONS[title])
            if FIGURE.fullmatch(cell) and "over it" not in head:  # that is the row's own win rate, taken from 100
                metric, against = column(head, scope)
                yield name, head, cell, figure(runs, (model, *place, metric, against))


def rounds_to(printed: str, value: float, scale: float) -> bool:
    """Whether `printed` is `value * scale` with as many decimals; a value in a file is rounded to six."""
    unit = 10.0 ** -len(printed.partition(".")[2])
    return abs(float(printed) - value * scale) <= unit / 2 + 1e-6 * scale


def is_among(cell: tuple[str, ...], result: Result) -> bool:
    """Whether a value and its bounds are a result's, as it is or in per cent, or of the two models the other way."""
    own = (result.value, result.low, result.high)
    if None in own:
        return False
    turned = (-result.value, -result.high, -result.low)
    return any(all(map(rounds_to, cell, way, [scale] * 3)) for way in (own, turned) for scale in (1, 100))


def of_value(printed: str, runs: list[dict[Key, Result]]) -> Iterator[Key]:
    """What the figures are about whose mean over the runs `is_among` can take for a value: few are to be pooled."""
    for key in set.intersection(*map(set, runs)):
        mean = fmean(run[key].value for run in runs)
        if any(rounds_to(printed, sign * mean, scale) for sign in (1, -1) for scale in (1, 100)):
            yield key


def is_printed(cell: str, result: Result) -> bool:
    """Whether a cell is a result's value and, where it has one, its interval."""
    scale = 100 if result.metric.removeprefix("delta_").partition(":")[0] in IN_PERCENT else 1
    value, low, high = FIGURE.fullmatch(cell).groups()
    bounds = [] if low is None else [(low, result.low), (high, result.high)]
    return all(b is not None and rounds_to(p, b, scale) for p, b in [(value, result.value), *bounds])


def test_the_figures_beside_the_targets_are_those_of_the_files_named():
    (cells,) = [cells for _, _, cells in tables() if cells[0][-1] == "from"]
    for *_, told, source in cells[1:]:
        pools = [tuple(NAMED.findall(together)) for together in re.split("[;,]", source)]
        for cell in INTERVAL.findall(told):
            rows = (figure(runs, key) for runs in map(tables_of, pools) for key in of_value(cell[0], runs))
            assert any(is_among(cell, row) for row in rows if row), (cell, source)


def test_the_tables_that_compare_methods_are_found():
    assert len(COMPARED) >= 17


@pytest.mark.parametrize("start", COMPARED, ids=lambda start: f"line-{start}")
def test_every_cell_is_the_pooled_figure(start: int):
    found = list(said(*COMPARED[start]))
    wrong = [
        (row, head, cell, result) for row, head, cell, result in found if not (result and is_printed(cell, result))
    ]
    assert found
    assert wrong == []


def test_the_pictures_are_drawn_from_the_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER.parents[1] / "benchmarks"))
    pictures = importlib.import_module("pictures")
    for picture in pictures.PICTURES:
        svg = (FOLDER / f"{picture.name}.svg").read_text(encoding="utf-8")
        assert svg == pictures.draw(picture)


def test_any_pooled_figure_can_be_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.syspath_prepend(str(FOLDER.parents[1] / "benchmarks"))
    asked = ["--model", "rba-opd-strong", "--against", "sft"]
    importlib.import_module("pooled").main([str(FOLDER / "strong-tokens-letter.json"), *asked])
    assert capsys.readouterr().out == "rba-opd-strong heldout all win_rate:letter sft 0.5654 [0.5072, 0.6235] n=718\n"
