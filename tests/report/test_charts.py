"""Charts are well-formed SVG with titles, whatever the numbers."""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rba.report import axes, svg
from rba.report.bars import Share, histogram, share_chart
from rba.report.charts import Interval, Line, interval_chart, line_chart, smoothed

SVG = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg" and root.get("aria-label")
    assert "nan" not in svg and "inf" not in svg
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_enclose_the_range_at_even_steps(low: float, width: float) -> None:
    found = axes.ticks(low, low + width)
    step = found[1] - found[0]
    assert found[0] <= low + 1e-6 * step and found[-1] >= low + width - 1e-6 * step
    assert 2 <= len(found) <= 11
    assert all(math.isclose(b - a, step, rel_tol=1e-3) for a, b in itertools.pairwise(found))


def test_rounding_noise_is_no_range() -> None:
    for values in ([1.0, 0.9999999999999998], [1e-13], [0.3, 0.1 + 0.2], [0.0, 1e-14]):
        low, high = axes.extent(values)
        first, *_, last = axes.ticks(low, high)
        assert first < last and first - 1e-9 <= low < high <= last + 1e-9
        assert all(0 < axes.Scale(low, high, 0, 1)(value) < 1 for value in values)
    assert axes.extent([1e-3, 2e-3]) == (1e-3, 2e-3)


def test_ticks_are_round() -> None:
    assert axes.ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1]
    assert axes.ticks(3, 97) == [0, 25, 50, 75, 100]
    assert axes.ticks(0.1, 0.3, count=3) == [0.1, 0.2, 0.3]
    first, *_, last = axes.ticks(2.1855e-7, 2.1855e-7 * (1 + 3e-9))  # steps of 1e-16
    assert first < last
    with pytest.raises(ValueError):
        axes.ticks(1, 1)


def test_labels_have_the_decimals_that_their_steps_need() -> None:
    assert axes.labels([0, 0.25, 0.5]) == ["0", "0.25", "0.50"]
    assert axes.labels([0, 5e-5, 1e-4]) == ["0", "5e-5", "1e-4"]
    assert axes.labels([0, 20_000, 40_000]) == ["0", "20k", "40k"]
    assert axes.labels([1000, 1500, 2000]) == ["1,000", "1,500", "2,000"]


def test_a_line_chart_has_axes_a_legend_and_hover_texts() -> None:
    root = parse(line_chart([Line("SFT", [(1, 2.0), (2, 1.5)], "m-sft"), Line("A & <B>", [(1, 3.0)])], "Loss"))
    assert {"SFT", "A & <B>", "step"} <= set(texts(root))
    assert "SFT: 1.5 at 2" in ["".join(t.itertext()) for t in root.iter(f"{SVG}title")]


def test_a_long_legend_takes_rows_and_the_plot_begins_below_them() -> None:
    def drawn(count: int) -> tuple[list[ElementTree.Element], float]:
        root = parse(line_chart([Line(f"RBA-{i:05d}", [(0, 1), (1, 2)]) for i in range(count)], "Loss"))
        names = [node for node in root.iter(f"{SVG}text") if node.get("class") == "name"]
        return names, float(next(root.iterfind(f"{SVG}svg")).get("y", ""))

    (few, above), (many, below) = drawn(2), drawn(12)
    assert len({node.get("y") for node in few}) == 1 and len({node.get("y") for node in many}) > 2
    for node in many:
        assert float(node.get("x", "")) + 6.4 * len(node.text or "") <= svg.WIDTH
        assert float(node.get("y", "")) < below
    assert len({(node.get("x"), node.get("y")) for node in many}) == 12 and above < below


@pytest.mark.parametrize(
    "points",
    [[], [(0, 1.0)], [(0, 1.0), (1, 1.0)], [(0, math.nan), (1, math.inf)], [(i, math.sin(i * i)) for i in range(5000)]],
    ids=["none", "one", "flat", "not finite", "many"],
)
def test_a_line_chart_takes_any_series(points: list[tuple[float, float]]) -> None:
    svg = line_chart([Line("x", points)], "Any")
    parse(svg)
    assert len(svg) < 40_000


def test_whole_steps_have_whole_ticks() -> None:
    root = parse(line_chart([Line("", [(1, 0.0), (2, 1.0)])], "Short"))
    assert {"1", "2"} <= set(texts(root)) and "1.25" not in texts(root)


def test_noise_is_smoothed_and_corners_are_kept() -> None:
    noisy = [(float(i), 1.0 + (-1) ** i) for i in range(200)]
    assert all(abs(y - 1) < 0.3 for _, y in smoothed(noisy))
    corner = [(float(i), float(i > 100)) for i in range(200)]
    assert smoothed(corner) == corner


def test_an_interval_chart_tells_value_and_interval() -> None:
    root = parse(interval_chart([Interval("Base", 0.3, 0.2, 0.4), Interval("SFT", 0.5)], "Recall", reference=0.5))
    hover = ["".join(t.itertext()) for t in root.iter(f"{SVG}title")]
    assert hover == ["Base: 0.3 (95 % interval 0.2 to 0.4)", "SFT: 0.5"]


def test_bars_show_shares_beside_the_papers() -> None:
    root = parse(share_chart([Share("Planning", 12.0, 4.2), Share("None", 0.0)], "Topics", "paper"))
    assert "Planning: 12.0 %, paper 4.2 %" in ["".join(t.itertext()) for t in root.iter(f"{SVG}title")]
    assert len(list(root.iter(f"{SVG}rect"))) == 1


def test_a_histogram_counts_everything_once() -> None:
    values = [1.0, 2, 2, 3, 3, 3, 9]
    root = parse(histogram(values, "Words", "words"))
    counts = [int("".join(t.itertext()).rsplit(": ", 1)[1]) for t in root.iter(f"{SVG}title")]
    assert sum(counts) == len(values)


@pytest.mark.parametrize(
    "draw", [lambda: interval_chart([], "a"), lambda: share_chart([], "b"), lambda: histogram([], "c", "s")]
)
def test_a_chart_of_nothing_says_so(draw) -> None:
    assert texts(parse(draw())) == ["no values"]


@pytest.mark.parametrize("values", [[1, 2, 3], [0, 7], range(3, 27), range(3, 21), [5] * 3])
def test_every_whole_number_has_a_bin_of_its_own_where_there_is_room(values) -> None:
    root = parse(histogram([float(v) for v in values], "Words", "words"))
    counts = [int("".join(t.itertext()).rsplit(": ", 1)[1]) for t in root.iter(f"{SVG}title")]
    assert counts == [list(values).count(v) for v in sorted(set(values))]


def test_a_histogram_of_one_value_is_a_chart() -> None:
    parse(histogram([2.5, 2.5], "Same", "s"))
    parse(histogram([4.0], "One", "s"))
