"""Requests are planned as they will be drawn, read from a file and answered."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import WEIGHTS, Planner, item, stage


def test_requests_are_drawn_until_enough_are_kept(toy: Planner):
    plan = toy()
    drawn, answered = item(plan, "synthesis", "requests drawn"), item(plan, "synthesis", "requests answered")
    assert (drawn.count, answered.count, item(plan, "synthesis", "instructions").count) == (16, 12, 8)
    # a header of 24 rows and 4 tokens; the last token never passes
    pairs = 27 * 28 / 2
    each = 2 * 27 * WEIGHTS + 4 * 2 * 32 * pairs + 2 * 4 * 32 * 259
    assert drawn.flops == 16 * each
    assert (drawn.prompt, drawn.new, answered.prompt, answered.new) == (16 * 24, 16 * 4, 12 * (24 + 10 + 6), 12 * 5)


def written(place: Path, *rows: dict[str, str]) -> str:
    """The override that names a file of these requests."""
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"synthesis.texts={place}"


def test_requests_of_a_file_are_not_drawn_and_end_with_it(toy: Planner, tmp_path: Path):
    plan = toy(written(tmp_path / "texts.jsonl", *[{"text": f"Name {n}."} for n in range(12)]))
    assert {one.what: one.count for one in stage(plan, "synthesis").items} == {
        "requests of the file": 12,
        "requests answered": 9,
        "instructions kept": 8,
    }


def test_requests_with_answers_ask_no_teacher(toy: Planner, tmp_path: Path):
    answered = [{"text": f"Name {n}.", "response": "Ann."} for n in range(20)]
    some = toy(written(tmp_path / "some.jsonl", *answered[:10], *[{"text": row["text"]} for row in answered[10:]]))
    assert item(some, "synthesis", "requests answered").count == 6  # half of the twelve that pass the filters
    plan = toy(written(tmp_path / "all.jsonl", *answered))
    assert [one.what for one in stage(plan, "synthesis").items] == ["requests of the file", "instructions kept"]
    assert {part.what for part in stage(plan, "synthesis").memory} <= {"Python and libraries"}
    assert stage(plan, "synthesis").disk == stage(some, "synthesis").disk > 0


def test_what_stands_before_a_request_is_counted(toy: Planner):
    plain, told = toy(), toy("synthesis.answer_system=answer in one sentence")
    gained = item(told, "synthesis", "requests answered").prompt - item(plain, "synthesis", "requests answered").prompt
    assert gained == 12 * 4
    assert item(told, "synthesis", "requests drawn").prompt == item(plain, "synthesis", "requests drawn").prompt
