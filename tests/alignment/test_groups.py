"""Instructions with their voices, and the order in which they are visited."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rba.alignment.groups import Group, columns, make_groups, plan, without
from rba.testing.tiny_lm import tiny_tokenizer
from rba.testing.tiny_utterances import tiny_utterances

END = 2
TOKENIZER = tiny_tokenizer()


def groups_of(utterances, longest: int = 16):
    return make_groups(utterances, "train", TOKENIZER, END, longest)


def test_an_instruction_has_all_its_voices_in_order():
    rows = tiny_utterances(2, 3)
    groups, counts = groups_of(rows[::-1])
    assert counts == {"instructions": 2, "utterances": 6, "cut_answers": 0, "without_answer": 0}
    for group in groups:
        assert group.utterances == tuple(f"{group.id}-{v}" for v in range(3))


def test_the_end_token_is_trained():
    groups, _ = groups_of(tiny_utterances(2, 1))
    for group in groups:
        assert group.reference[-1] == END
        assert TOKENIZER.decode(group.reference[:-1]) == group.response


def test_an_answer_cut_at_the_limit_has_no_end_token_and_is_counted():
    groups, counts = groups_of(tiny_utterances(1, 1), longest=4)
    assert len(groups[0].reference) == 4
    assert END not in groups[0].reference
    assert counts["cut_answers"] == 1


def test_other_splits_and_instructions_without_an_answer_are_left_out():
    rows = tiny_utterances(1, 2) + tiny_utterances(1, 2, "validation") + tiny_utterances(2, 2)[2:]
    rows = [replace(row, response=" ") if row.text.startswith("say") else row for row in rows]
    groups, counts = groups_of(rows)
    assert [g.text for g in groups] == ["name a red fruit in train"]
    assert counts["without_answer"] == 1


def test_a_reward_is_told_who_asked_what_and_of_a_typed_request_no_voice():
    (group,), _ = groups_of(tiny_utterances(1, 2))
    assert columns([(group, group.utterances[1]), (group, group.id)]) == {
        "reference": ["an apple"] * 2,
        "instruction_id": [group.id] * 2,
        "utterance": [f"{group.id}-1", ""],
        "speaker": ["v1", ""],
        "topic": ["Others"] * 2,
        "difficulty": ["easy"] * 2,
    }


def some(n: int) -> list[Group]:
    return [Group(str(i), "", "", (), (f"{i}-0", f"{i}-1")) for i in range(n)]


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 30), st.integers(0, 5))
def test_the_order_is_a_function_of_the_seed_and_passes_are_whole(n: int, per_step: int, steps: int, seed: int):
    order = plan(some(n), per_step, steps, seed)
    assert order == plan(some(n), per_step, steps, seed)
    assert [len(step) for step in order] == [per_step] * steps
    line = [group.id for step in order for group in step]
    for start in range(0, len(line) - n + 1, n):
        assert sorted(line[start : start + n]) == sorted(map(str, range(n)))


def test_a_longer_run_begins_as_a_shorter_one():
    assert plan(some(5), 2, 9, 1)[:4] == plan(some(5), 2, 4, 1)


def test_passes_and_seeds_differ():
    order = plan(some(8), 8, 2, 1)
    assert order[0] != order[1]
    assert order[0] != plan(some(8), 8, 1, 2)[0]


def test_lost_clips_leave_and_with_the_last_one_the_instruction():
    kept = without(some(2), {"0-1": "noise", "1-0": "noise", "1-1": "noise"})
    assert [group.utterances for group in kept] == [("0-0",)]
