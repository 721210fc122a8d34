"""Results of several seeds as one."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rba.cli import main
from rba.errors import DataError
from rba.evaluation.pool import EVERY_SEED, pool, runs_of
from rba.evaluation.results import Result, load_results, write_results


def row(value, half=None, seed=0, model="sft", metric="recall", benchmark="heldout"):
    bounds = (None, None) if half is None else (value - half, value + half)
    return Result(model, benchmark, "all", metric, "", value, *bounds, 48, seed)


def half(runs):
    (found,) = pool(runs)
    assert found.value == pytest.approx((found.low + found.high) / 2)
    return found.high - found.value


def test_the_mean_is_of_all_instructions():
    (found,) = pool([[row(0.5, 0.1, seed)] for seed in range(4)])
    assert (found.value, found.n, found.seed) == (pytest.approx(0.5), 192, EVERY_SEED)


def test_many_equal_runs_have_the_interval_of_all_their_instructions():
    """A hundred runs that lie apart as far as their own errors say: a hundred times the instructions, a tenth."""
    values = scipy.stats.norm.ppf((np.arange(100) + 0.5) / 100) * 0.1 / 1.96
    assert half([[row(0.5 + v, 0.1, seed)] for seed, v in enumerate(values.tolist())]) == pytest.approx(0.01, rel=0.05)


def test_many_runs_that_differ_by_more_have_the_interval_of_a_mean():
    values = np.random.default_rng(0).normal(size=60)
    low, high = scipy.stats.t.interval(0.95, 59, values.mean(), scipy.stats.sem(values))
    assert half([[row(v, 0.1, seed)] for seed, v in enumerate(values.tolist())]) == pytest.approx(
        (high - low) / 2, 0.05
    )


@pytest.mark.parametrize("runs", [2, 3, 4, 8])
@pytest.mark.parametrize(("between", "least"), [(0.0, 0.96), (0.5, 0.95), (1.0, 0.93), (4.0, 0.83)])
def test_intervals_cover_the_true_value(runs: int, between: float, least: float):
    """`between`: how far seeds lie apart, in standard errors of one run's figure, which is 1."""
    generator, trials = np.random.default_rng(0), 1500
    values = generator.normal(0, math.hypot(1, between), (runs, trials))
    found = pool([[row(v, 1.96, metric=f"m{i}") for i, v in enumerate(own.tolist())] for own in values])
    assert np.mean([r.low <= 0 <= r.high for r in found]) > least


def test_runs_that_differ_by_more_than_their_intervals_widen_it():
    apart = half([[row(0.2, 0.01)], [row(0.4, 0.01)], [row(0.6, 0.01)]])
    most = scipy.stats.t.ppf(0.975, 2) * 0.2 / math.sqrt(3)
    assert half([[row(0.4, 0.01)]] * 3) < 0.02 < 0.2 < apart < most
    assert 0.2 < half([[row(value, 1e-6)] for value in (0.2, 0.4, 0.6)]) < most


def test_items_of_a_benchmark_that_all_runs_ask_are_no_new_evidence():
    runs = [[row(0.5, 0.1, seed, benchmark="tatoeba")] for seed in range(4)]
    assert 0.1 < half(runs) < 0.12
    assert pool(runs)[0].n == 48
    assert half([[row(0.5, 0.1, seed)] for seed in range(4)]) < 0.07


def test_one_run_is_itself():
    (found,) = pool([[row(0.3, 0.07)]])
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.23, 0.37))


def test_without_bounds_the_runs_themselves_give_the_interval():
    (found,) = pool([[row(0.2)], [row(0.4)]])
    assert found.low == pytest.approx(0.3 - scipy.stats.t.ppf(0.975, 1) * 0.1)
    assert pool([[row(0.2)]])[0].low is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(0.001, 0.5))
def test_the_order_of_the_runs_changes_nothing(values, half):
    there = pool([[row(v, half)] for v in values])[0]
    back = pool([[row(v, half)] for v in reversed(values)])[0]
    assert (there.value, there.low, there.high) == pytest.approx((back.value, back.low, back.high))


def test_only_figures_of_all_runs_are_pooled():
    found = pool([[row(0.1), row(0.2, model="kd")], [row(0.3)]])
    assert [r.model for r in found] == ["sft"]
    with pytest.raises(DataError, match="no figure in common"):
        pool([[row(0.1)], [row(0.3, model="kd")]])


def test_the_verb_writes_all_rows_and_prints_the_pooled_ones(tmp_path, capsys):
    for seed in (0, 1):
        write_results(tmp_path / f"{seed}.json", [row(0.25, 0.1, seed)])
    out = tmp_path / "all.json"
    assert main(["compare", str(tmp_path / "0.json"), str(tmp_path / "1.json"), "--out", str(out), "--markdown"]) == 0
    assert [r.seed for r in load_results(out)] == [0, 1]
    assert "| sft | 0.250 [0.130, 0.370] |" in capsys.readouterr().out


def test_a_run_without_results_is_one_clear_line(tmp_path, capsys):
    assert main(["compare", str(tmp_path)]) == 2
    assert "there are no results" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", "{}"])
def test_results_without_rows_are_no_run(tmp_path, capsys, text):
    write_results(tmp_path / "0.json", [row(0.25, 0.1)])
    (tmp_path / "1.json").write_text(text)
    assert main(["compare", str(tmp_path / "0.json"), str(tmp_path / "1.json")]) == 2
    line = capsys.readouterr().err
    assert "there are no rows in the results" in line and "1.json" in line and line.count("\n") == 1


def test_what_is_no_results_file_is_not_to_be_deleted(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    assert main(["compare", str(tmp_path / "mine.yaml")]) == 2
    assert "name a run folder or a results.json" in capsys.readouterr().err
    assert main(["compare", "x" * 300]) == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_file_of_several_runs_is_taken_apart_and_no_run_counts_twice(tmp_path, capsys):
    for seed in (0, 1):
        write_results(tmp_path / f"{seed}.json", [row(0.2 + seed / 10, 0.1, seed)])
    both = [row(0.2, 0.1, 0), row(0.3, 0.1, 1)]
    write_results(tmp_path / "both.json", both)
    assert runs_of([both]) == [[both[0]], [both[1]]] == runs_of([[both[0]], [both[1]]])
    assert main(["compare", str(tmp_path / "both.json")]) == 0
    assert main(["compare", str(tmp_path / "0.json"), str(tmp_path / "both.json")]) == 2
    assert "two runs have the seed 0" in capsys.readouterr().err
