"""Figures of answers that are known, and the printed table."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.stand_ins import EchoTeacher, WordEmbedder
from rba.errors import DataError
from rba.evaluation import contests, metrics
from rba.evaluation.answers import READ, Answer
from rba.evaluation.cells import lay_out
from rba.evaluation.judge import load_judge
from rba.evaluation.results import Result, load_results, print_table, write_results
from rba.testing.tiny_utterances import tiny_utterances

TOPICS = ("apples", "rivers", "clocks", "bread", "music", "stars")
UTTERANCES = [
    replace(
        u,
        text=f"tell me of {TOPICS[i // 3]}",
        response=f"{TOPICS[i // 3]} bloom slowly near old {TOPICS[i // 3]} farms",
    )
    for i, u in enumerate(tiny_utterances(6, 3, "test"))
]
FULL = {u.instruction_id: u.response for u in UTTERANCES}


def spoken(model, say, heard=None):
    return [
        Answer(model, u.id, u.instruction_id, u.voice, say(u), 5, True, heard(u) if heard else None) for u in UTTERANCES
    ]


def typed(model, say):
    return [Answer(model, "", u.instruction_id, READ, say(u), 5, True, None) for u in UTTERANCES[::3]]


def half(u):
    return " ".join(u.response.split()[:2])


def figures(answers, judges=(), opponents=("base", "teacher")):
    cells = lay_out(UTTERANCES, answers, {})
    sheet = metrics.make_sheet(cells, WordEmbedder(), 200, seed=0, opponents=opponents)
    rows = list(metrics.rows(sheet, WordEmbedder()))
    for judge in judges:
        rows += contests.win_rates(sheet, load_judge(judge, teacher=EchoTeacher(), embedder=WordEmbedder()), opponents)
    return {(r.model, r.metric, r.against): r for r in rows}


STANDARD = [
    *spoken("base", lambda u: "nothing", lambda u: "tell me of"),
    *spoken("good", lambda u: u.response, lambda u: u.text),
    *spoken("middle", half),
    *typed("text", lambda u: u.response),
    *typed("teacher", lambda u: u.response),
]


def test_identical_answers_are_even_consistent_and_no_better():
    found = figures([*spoken("base", half), *spoken("other", half)], ["recall", "similarity"])
    for judge in ("recall", "similarity"):
        assert found["other", f"win_rate:{judge}", "base"].value == 0.5
        assert found["other", f"lc_win_rate:{judge}", "base"].value == pytest.approx(0.5)
    assert found["other", "consistency", ""].value == pytest.approx(1)
    row = found["other", "delta_recall", "base"]
    assert (row.value, row.low, row.high) == (0, 0, 0)


def test_win_rates_within_some_cells_count_those_alone():
    quiet = {UTTERANCES[0].id}
    mixed = [*spoken("base", half), *spoken("other", lambda u: u.response if u.id in quiet else "nothing")]
    sheet = metrics.make_sheet(lay_out(UTTERANCES, mixed, {}), WordEmbedder(), 200, seed=0)
    judge = load_judge("recall")
    for wanted, value in ((quiet, 1.0), ({u.id for u in UTTERANCES} - quiet, 0.0)):
        within = np.array([u.id in wanted for u in sheet.cells.utterances])
        rows = list(contests.win_rates(sheet, judge, ("base",), 0, "quiet", within))
        (row,) = [r for r in rows if r.metric == "win_rate:recall" and r.model == "other"]
        assert (row.condition, row.value) == ("quiet", value)


def test_the_share_of_the_gap_that_is_closed():
    found = figures(STANDARD)
    assert found["good", "gap_closed", "base"].value == pytest.approx(1)
    assert found["middle", "gap_closed", "base"].value == pytest.approx(1 / 3)
    assert found["middle", "text_share", "text"].value == pytest.approx(1 / 3)
    assert found["base", "text_share", "text"].value == 0
    assert ("base", "gap_closed", "base") not in found
    assert ("text", "gap_closed", "base") not in found


def test_differences_are_to_base_and_to_every_opponent_but_the_teacher():
    found = figures(STANDARD, opponents=("middle", "teacher"))
    assert found["good", "delta_recall", "base"].value == pytest.approx(1)
    for key in ("recall", "f1", "similarity", "consistency"):
        gap = found["good", key, ""].value - found["middle", key, ""].value
        assert found["good", f"delta_{key}", "middle"].value == pytest.approx(gap)
    deltas = {(model, against) for model, metric, against in found if metric.startswith("delta_")}
    assert not {"teacher"} & {name for pair in deltas for name in pair}
    assert not [pair for pair in deltas if pair[0] == pair[1]]


def test_no_gap_has_no_share():
    answers = [*spoken("base", half), *spoken("good", half), *typed("text", half)]
    assert ("good", "gap_closed", "base") not in figures(answers)


def test_where_requests_are_typed_there_is_no_gap_to_close():
    """Base answers like typed input there, but for what other sums in half precision change."""
    asked = [replace(u, id=f"{u.id}@typed") for u in UTTERANCES[::3]]
    unlike = {asked[0].id}
    answers = [
        *typed("text", half),
        *[
            Answer(model, u.id, u.instruction_id, u.voice, u.response if model == "good" else say(u), 5, True, None)
            for model in ("base", "good")
            for u in asked
            for say in ((lambda u: "nothing") if u.id in unlike else half,)
        ],
    ]
    sheet = metrics.make_sheet(lay_out(asked, answers, {}), WordEmbedder(), 200, seed=0)
    found = {(r.model, r.metric): r.value for r in metrics.robustness_rows(sheet, ["typed"])}
    assert found["good", "text_share"] == pytest.approx(3)
    assert ("good", "gap_closed") not in found and found["good", "delta_recall"] > 0


def test_what_is_kept_of_the_recall_in_the_clean_is_of_the_same_requests():
    """An accent that cannot say the harder half of the requests makes nobody better."""
    said = [replace(u, id=f"{u.id}@{name}") for name in ("clean", "accent") for u in UTTERANCES[::3]]
    said = [u for u in said if not (u.id.endswith("@accent") and u.text.endswith(TOPICS[3:]))]
    easy = [u.response if u.text.endswith(TOPICS[:3]) else "nothing" for u in said]
    answers = [Answer("base", u.id, u.instruction_id, u.voice, a, 5, True, None) for u, a in zip(said, easy)]
    sheet = metrics.make_sheet(lay_out(said, answers, {}), WordEmbedder(), 200, seed=0)
    sheet.benchmark = metrics.ROBUSTNESS
    (kept,) = [r for r in metrics.robustness_rows(sheet, ["clean", "accent"]) if r.metric == "clean_share"]
    assert (kept.value, kept.n) == (pytest.approx(1), 3)


def test_the_word_error_rate_is_of_all_words():
    found = figures(STANDARD)
    assert found["base", "transcript_wer", ""].value == pytest.approx(1 / 4)
    assert found["good", "transcript_wer", ""].value == 0
    assert ("middle", "transcript_wer", "") not in found


def test_wins_over_a_worse_and_a_better_opponent():
    found = figures(STANDARD, ["recall"], ["base", "good"])
    assert found["good", "win_rate:recall", "base"].value == 1
    assert found["middle", "win_rate:recall", "good"].value == 0
    assert found["text", "win_rate:recall", "good"].value == 0.5
    assert ("teacher", "win_rate:recall", "base") not in found


def test_beside_each_win_rate_stands_the_share_of_pairs_in_which_the_judge_prefers_neither():
    some = {u.instruction_id for u in UTTERANCES[:6]}
    twin = spoken("twin", lambda u: u.response if u.instruction_id in some else half(u))
    found = figures([*spoken("base", half), *twin], ["recall"])
    row = found["twin", "ties:recall", "base"]
    assert (row.value, row.n) == (pytest.approx(4 / 6), 6) and row.low < row.value < row.high
    assert found["twin", "win_rate:recall", "base"].value == pytest.approx(2 / 6 + row.value / 2)
    assert figures(STANDARD, ["recall"])["good", "ties:recall", "base"].value == 0


def test_a_judge_by_reference_holds_nobody_against_that_reference_itself():
    assert ("good", "win_rate:recall", "teacher") not in figures(STANDARD, ["recall"])
    assert ("good", "win_rate:likelihood", "teacher") in figures(STANDARD, ["likelihood"])
    second = typed("teacher-again", lambda u: f"{half(u)} indeed")
    found = figures([*STANDARD, *second], ["recall"])
    assert found["middle", "win_rate:recall", "teacher"].value == 1
    assert found["base", "win_rate:recall", "teacher"].value == 0
    assert found["teacher", "recall", ""].value == pytest.approx(1 / 3)


def test_saying_the_same_to_everybody_is_consistent_and_shows_in_distinct_n():
    found = figures([*spoken("base", lambda u: "what a nice question"), *spoken("good", lambda u: u.response)])
    assert found["base", "consistency", ""].value == found["good", "consistency", ""].value == pytest.approx(1)
    assert found["base", "distinct_2", ""].value == pytest.approx(1 / 6)
    assert found["good", "distinct_2", ""].value > 0.5


def test_did_not_hear_is_a_share_of_answers():
    found = figures([*spoken("base", lambda u: "I didn't hear you." if u.voice == 0 else half(u))])
    assert found["base", "deaf", ""].value == pytest.approx(1 / 3)


def test_only_what_every_model_answered_is_compared():
    answers = [a for a in STANDARD if not (a.model == "good" and a.voice == 2)]
    assert len(lay_out(UTTERANCES, answers, {}).utterances) == 12
    with pytest.raises(DataError, match="answered by every model"):
        lay_out(
            UTTERANCES,
            [*spoken("base", half), replace(STANDARD[0], model="x", utterance_id="-", instruction_id="-")],
            {},
        )


def test_results_are_read_as_they_were_written(tmp_path):
    rows = [Result("base", "heldout", "all", "recall", "", 0.25, 0.125, None, 3, 0)]
    write_results(tmp_path / "evaluation" / "results.json", rows)
    assert load_results(tmp_path) == load_results(tmp_path / "evaluation" / "results.json") == rows


def test_missing_or_damaged_results_are_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="rba evaluate"):
        load_results(tmp_path)
    (tmp_path / "results.json").write_text('[{"model": 1}]')
    with pytest.raises(DataError, match="cannot be read"):
        load_results(tmp_path)


def test_the_table_shows_models_metrics_and_intervals(tmp_path, capsys):
    place = ("heldout", "all")
    rows = [
        Result("base", *place, "recall", "", 0.25, 0.2, 0.3, 9, 0),
        Result("rba-group", *place, "recall", "", 0.5, 0.4, 0.6, 9, 0),
        Result("rba-group", *place, "delta_recall", "base", 0.25, 0.1, 0.4, 9, 0),
        Result("rba-group", *place, "delta_recall", "sft", 0.05, 0.0, 0.1, 9, 0),
        Result("rba-group", *place, "win_rate:recall", "base", 0.75, None, None, 9, 0),
        Result("rba-group", "heldout", "noise", "recall", "", 0.1, 0.1, 0.1, 9, 0),
        Result("rba-group", "squad", "all", "contains", "", 0.1, 0.1, 0.1, 3000, 0),
    ]
    write_results(tmp_path / "results.json", rows)
    print_table(tmp_path / "results.json")
    shown = capsys.readouterr().out
    assert [f in shown for f in ("0.250", "0.200..0.300", "+0.250", "+0.100..+0.400", "75.0", "(recall)")] == [True] * 6
    assert "held-out speech, 9 instructions" in shown
    assert "0.050" not in shown
    assert "0.100..0.100" not in shown


def test_a_narrow_terminal_gets_several_tables_and_nothing_is_cut(capsys, monkeypatch):
    monkeypatch.setattr("rba.evaluation.table._LOG_WIDTH", 50)
    names = ("recall", "similarity", "consistency", "distinct_2", "transcript_wer", "tokens")
    print_table([Result("rba-single", "heldout", "all", m, "", 0.125, 0.1, 0.2, 9, 0) for m in names])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 50
    assert sum("0.100..0.200" in part for line in lines for part in line.split()) == 4
    assert sum(line.split()[:1] == ["model"] for line in lines) > 1
