"""Which utterances are evaluated."""

import pytest

from rba.errors import DataError
from rba.evaluation.selection import first_voices, held_out
from rba.testing.tiny_utterances import tiny_utterances

TEST = tiny_utterances(6, 3, "test")
TRAIN = tiny_utterances(6, 3, "train")


def test_only_test_utterances_are_taken_voices_from_the_first_on():
    chosen = held_out([*reversed(TEST), *TRAIN], 0, 2, seed=0)
    assert {u.split for u in chosen} == {"test"}
    assert [u.voice for u in chosen] == [0, 1] * 6


def test_a_larger_draw_keeps_the_smaller_ones_choice_and_order_does_not_matter():
    small = {u.instruction_id for u in held_out(TEST, 2, 1, seed=5)}
    large = {u.instruction_id for u in held_out(TEST, 4, 1, seed=5)}
    assert len(small) == 2
    assert small < large
    assert held_out(TEST, 4, 2, seed=5) == held_out(TEST[::-1], 4, 2, seed=5)


def test_one_utterance_per_instruction_carries_the_text():
    assert [u.voice for u in first_voices(TEST)] == [0] * 6


def test_without_test_utterances_there_is_one_clear_line():
    with pytest.raises(DataError, match="no test utterances"):
        held_out(TRAIN, 0, 4, seed=0)
