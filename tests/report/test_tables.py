"""Tables, summaries and facts say what the rows say."""

from __future__ import annotations

from rba.evaluation.results import Result
from rba.report import breakdown, facts, summary, tables
from rba.report.source import Source, Spoken


def row(model: str, metric: str, value: float, low: float | None = None, high: float | None = None, **more) -> Result:
    place = {"benchmark": "heldout", "condition": "all", "against": "", "n": 10, "seed": 0} | more
    return Result(model=model, metric=metric, value=value, low=low, high=high, **place)


def test_the_best_speechlm_is_marked_and_bounds_never_are() -> None:
    rows = [row("teacher", "recall", 0.9), row("base", "recall", 0.3), row("sft", "recall", 0.4)]
    rows += [row("teacher", "deaf", 0.0), row("base", "deaf", 0.1), row("sft", "deaf", 0.2)]
    table = tables.scores(rows, "t")
    assert table and [line.model for line in table.lines] == ["base", "sft", "teacher"]
    marks = {
        (line.model, c.key): cell.mark for line in table.lines for c, cell in zip(table.columns, line.cells) if cell
    }
    assert [place for place, mark in marks.items() if mark == "best"] == [("base", "deaf"), ("sft", "recall")]


def test_a_tie_has_no_best() -> None:
    table = tables.scores([row("base", "recall", 0.0), row("sft", "recall", 0.0)], "t")
    assert table and [line.cells[0].mark for line in table.lines if line.cells[0]] == ["", ""]


def test_a_difference_is_marked_only_where_its_interval_leaves_zero_out() -> None:
    rows = [row("sft", "delta_recall", 0.1, 0.05, 0.15, against="base")]
    rows += [row("rba-group", "delta_recall", 0.1, -0.05, 0.25, against="base")]
    table = tables.differences(rows, "d")
    assert table and [line.cells[0].mark for line in table.lines if line.cells[0]] == ["up", ""]
    assert table.lines[1].cells[0].interval == "\u22120.050 to +0.250"
    assert tables.scores(rows, "s") is None


def test_a_difference_is_marked_by_the_way_that_is_better() -> None:
    fewer, more = (-0.05, -0.08, -0.02), (0.05, 0.02, 0.08)
    rows = [row(f"m{i}", "delta_wer", *delta, against="base") for i, delta in enumerate((fewer, more))]
    rows += [row(f"m{i}", "delta_refused", *delta, against="base") for i, delta in enumerate((fewer, more))]
    table = tables.differences(rows, "d")
    assert table and [column.metric.name for column in table.columns] == ["WER", "Refused"]
    assert [[(cell.value, cell.mark) for cell in line.cells if cell] for line in table.lines] == [
        [("\u22125.0", "up"), ("\u22125.0", "")],
        [("+5.0", "down"), ("+5.0", "")],
    ]


def test_win_rates_name_their_judge_and_opponent() -> None:
    rows = [
        row("sft", f"win_rate:{j}", 0.6, 0.5, 0.7, against=o)
        for j in ("recall", "similarity")
        for o in ("base", "teacher")
    ]
    table = tables.scores(rows, "t")
    assert table and [c.under for c in table.columns] == [
        ["against Base", "judge: recall"],
        ["against Base", "judge: similarity"],
    ]
    found = breakdown.matrices(rows)
    assert [(m.judge, m.opponents) for m in found] == [
        ("recall", ["Base", "Teacher"]),
        ("similarity", ["Base", "Teacher"]),
    ]


def test_ties_stand_beside_the_win_rates_and_are_neither_good_nor_bad() -> None:
    rows = [row(m, "ties:recall", v, against=o) for m, v in (("sft", 0.2), ("kd", 0.4)) for o in ("base", "teacher")]
    table = tables.scores([*rows, row("sft", "win_rate:recall", 0.6, against="base")], "t")
    assert table and [(c.metric.name, c.against) for c in table.columns] == [("Win rate", "base"), ("Ties", "base")]
    assert {cell.mark for line in table.lines for cell in line.cells if cell} == {""}
    assert breakdown.matrices(rows) == []


def test_the_share_of_the_gap_that_is_closed_is_a_key_figure() -> None:
    rows = [row("sft", "gap_closed", 0.2, 0.1, 0.3, against="base"), row("text", "recall", 0.5)]
    rows.append(row("rba-group", "gap_closed", 0.4, 0.25, 0.55, against="base"))
    (figure,) = (one for one in summary.figures(Source(), rows) if "gap" in one.name)
    assert (figure.value, figure.unit, figure.name) == ("40.0", "%", "Of the speech\u2013text gap closed")
    assert figure.remark == "RBA-Group; 95 % interval 25.0 to 55.0"
    assert not any("gap" in one.name for one in summary.figures(Source(), rows[1:2]))


def test_conditions_are_columns() -> None:
    rows = [row("base", "recall", v, condition=c) for c, v in (("all", 0.3), ("clean", 0.4), ("noise", 0.2))]
    rows += [row("base", "tokens", 30.0, condition="noise")]
    (table,) = breakdown.by_condition(rows)
    assert [c.head for c in table.columns] == ["All", "Clean", "Noise"]
    assert breakdown.by_condition(rows[:1]) == []


def test_topics_and_difficulties_are_columns_of_their_own_tables_in_the_papers_order() -> None:
    asked = ("topic:Advice Seeking", "topic:Information Seeking", "topic:Gossip", "difficulty:hard", "difficulty:easy")
    rows = [row("base", "recall", 0.3, condition=c) for c in (*asked, "all", "noise")]
    by_topic, by_difficulty = breakdown.by_topic(rows)
    assert by_topic.title == "Held-out speech by topic: Reference-word recall"
    heads = [c.head for c in by_topic.columns]
    assert heads == ["All", "Information Seeking", "Advice\u00a0Seeking", "Gossip"]
    assert [c.head for c in by_difficulty.columns] == ["All", "Easy", "Hard"]
    (table,) = breakdown.by_condition(rows)
    assert [c.head for c in table.columns] == ["All", "Noise"]
    assert breakdown.by_topic(rows[-2:]) == []


def test_win_rates_under_conditions_have_a_table_for_each_judge() -> None:
    rows = [
        row("sft", f"win_rate:{judge}", 0.6, condition=condition, against="base")
        for judge in ("recall", "similarity")
        for condition in ("clean", "noise-0")
    ]
    titles = [table.title for table in breakdown.by_condition(rows)]
    assert len(set(titles)) == 2 and all("against Base judge: " in title for title in titles)


def test_the_sentence_gives_the_interval_and_admits_chance() -> None:
    rows = [row("base", "recall", 0.3), row("sft", "recall", 0.35), row("rba-group", "recall", 0.4, 0.38, 0.42)]
    rows += [row("rba-group", "delta_recall", 0.1, 0.05, 0.15, against="base")]
    rows += [row("rba-group", "delta_recall", 0.05, -0.01, 0.11, against="sft")]
    said = summary.sentence(rows)
    assert "RBA-Group" in said and "0.380 to 0.420" in said
    assert said.endswith("0.100 above the base model and 0.050 above SFT (within chance).")
    assert summary.sentence(rows[2:3]).startswith("RBA-Group reaches reference-word recall 0.400 (95 %")
    assert summary.sentence([]) == "This run has no evaluation yet."


def test_a_loss_to_the_base_is_said_too() -> None:
    rows = [row("sft", "recall", 0.2), row("sft", "delta_recall", -0.1, -0.2, -0.01, against="base")]
    assert summary.sentence(rows).endswith("0.100 below the base model.")


def test_topics_meet_the_papers_whatever_their_spelling() -> None:
    from rba.data.instruction import Instruction

    asked = [Instruction(str(i), "x", topic=t) for i, t in enumerate(("role play", "Planning", "planning", "Gossip"))]
    shares = {share.name: (share.percent, share.mark) for share in facts.topics(asked)}
    assert (
        shares["Role Playing"] == (25.0, 0.1) and shares["Planning"] == (50.0, 4.2) and shares["Gossip"] == (25.0, None)
    )
    assert facts.difficulties(asked) == []


def test_drops_are_counted_by_reason_in_any_form() -> None:
    notes = {
        "synthesis": {"dropped": {"too long": 3, "code": 5, "none": 0}},
        "evaluation": {"dropped": {"u1": "too short"}},
    }
    notes["align/sft"] = {"bad_clips": {"u2": "too short", "u3": "too short"}, "data": {"lost": 1}}
    notes["synthesis"]["dropped_examples"] = {"code": ["Write a loop\nin C.", "Sort a list."]}
    assert facts.drops(notes) == [
        facts.Drop("synthesis", "Code", 5, "Write a loop in C."),
        facts.Drop("synthesis", "Too long", 3),
        facts.Drop("evaluation", "Too short", 1),
        facts.Drop("align/sft", "Too short", 2),
    ]


def test_cost_is_the_last_measured_and_else_the_manifests() -> None:
    records = [{"stage": "run", "what": "speech", "seconds": s, "peak_gib": 1.5} for s in (90.0, 30.0)]
    lines = facts.costs(Source(records=records, seconds={"speech": 99.0, "synthesis": 61.0}))
    assert [(line["stage"], line["time"], line["memory"]) for line in lines] == [
        ("synthesis", "1 min 01 s", ""),
        ("speech", "30 s", "1.5 GiB"),
    ]


def test_shared_speakers_are_counted() -> None:
    voices = [("train", "a"), ("train", "b"), ("test", "b"), ("test", "c")]
    spoken = [Spoken(str(i), "i", 0, split, speaker, "{}", 1.0) for i, (split, speaker) in enumerate(voices)]
    assert facts.shared_speakers(spoken) == 1


def test_a_run_of_translations_is_known_by_its_bleu() -> None:
    rows = [row("sft", "recall", 0.2), row("base", "bleu", 0.05), row("sft", "bleu", 0.123, 0.1, 0.15)]
    rows += [
        row("sft", "delta_bleu", 0.073, 0.05, 0.09, against="base"),
        row("sft", "delta_recall", 0.1, against="base"),
    ]
    said = summary.sentence(rows)
    assert said == "SFT reaches BLEU 12.3 (95 % interval 10.0 to 15.0), 7.3 above the base model."
