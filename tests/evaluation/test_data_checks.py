"""Which utterances are evaluated, leaks into training, and conditions."""

from dataclasses import replace

import numpy as np
import pytest

from rba.data.instruction import Instruction, instruction_id
from rba.errors import DataError, RecipeError
from rba.evaluation.conditions import conditions_of, masks
from rba.evaluation.leak import Trained, check_leaks, unheard
from rba.evaluation.selection import first_voices, held_out
from rba.evaluation.settings import EvaluateSettings
from rba.models.load import HEARD
from rba.speech.acoustics import Acoustics
from rba.testing.tiny_utterances import tiny_utterances

TEST = [replace(u, speaker=f"test-{u.voice}") for u in tiny_utterances(6, 3, "test")]
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


def test_what_the_connector_was_trained_on_is_not_tested(tmp_path):
    assert unheard(TEST, tmp_path) == TEST
    known = replace(TEST[0], instruction_id="00000000000000ff")
    np.save(tmp_path / HEARD, np.array([255], np.uint64))
    assert unheard([known, *TEST[3:]], tmp_path) == TEST[3:]


def test_texts_are_known_by_their_words_and_those_of_the_connector_by_their_id():
    rows = [Instruction("a", "Who are you?", split="train"), Instruction("b", "Where am I?", split="test")]
    trained = Trained(rows, {instruction_id("Say no more.")})
    assert "who are you" in trained and "say  no more." in trained
    assert "Where am I?" not in trained and "Say more." not in trained


def test_disjoint_data_pass():
    check_leaks(TEST, [*TEST, *TRAIN], [Instruction("x", "something else")])


@pytest.mark.parametrize(
    ("stray", "what"),
    [
        (replace(TRAIN[0], instruction_id=TEST[4].instruction_id), "instruction"),
        (replace(TRAIN[0], text=TEST[4].text.upper() + " ?!"), "request"),
        (replace(TRAIN[0], text=TEST[4].text, split="validation"), "request"),
        (replace(TRAIN[0], speaker=TEST[0].speaker), "speaker"),
    ],
)
def test_a_leak_is_named_with_both_places(stray, what):
    with pytest.raises(DataError, match=what) as caught:
        check_leaks(TEST, [*TRAIN[1:], stray])
    assert stray.id in str(caught.value)


def test_a_training_instruction_that_was_never_spoken_counts_too():
    with pytest.raises(DataError, match="request"):
        check_leaks(TEST, TRAIN, [Instruction("x", TEST[0].text)])


def test_a_validation_speaker_may_be_tested():
    check_leaks(TEST, [replace(TRAIN[0], split="validation", speaker=TEST[0].speaker)])


@pytest.mark.parametrize(
    ("acoustics", "conditions"),
    [
        (Acoustics(), {"all", "clean"}),
        (Acoustics(tempo=1.05, eq=(1.0, 2.0)), {"all", "clean"}),
        (Acoustics(room=3, wet=0.5, noise="hum"), {"all", "room", "noise"}),
        (Acoustics(band=(200.0, 3400.0), codec="gsm"), {"all", "telephone"}),
        (Acoustics(codec="mp3"), {"all", "codec"}),
    ],
)
def test_conditions_say_what_disturbs_the_voice(acoustics, conditions):
    assert conditions_of(acoustics.to_json()) == conditions
    assert conditions_of("") == {"all", "clean"}


def test_a_condition_needs_enough_instructions_and_must_leave_some_out():
    noisy = Acoustics(noise="hum").to_json()
    rows = [replace(TEST[0], id=str(i), instruction_id=str(i), acoustics=noisy if i < 9 else "{}") for i in range(12)]
    found = masks(rows)
    assert list(found) == ["all", "noise"]
    assert found["noise"].sum() == 9
    assert list(masks(rows[:9])) == ["all"]
    assert np.all(found["all"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"judges": ("recall",)},
        {"judges": ("recall", "recall")},
        {"judges": ("recall", "me")},
        {"voices": 0},
        {"dtype": "int8"},
    ],
)
def test_settings_that_cannot_work_are_refused_by_key(wrong):
    with pytest.raises(RecipeError, match=f"evaluate.{next(iter(wrong))}"):
        EvaluateSettings(**wrong)
