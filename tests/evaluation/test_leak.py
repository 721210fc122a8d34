"""Leaks: what is tested was never trained on, neither the words nor the voices."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.stand_ins import WordEmbedder
from rba.data.instruction import Instruction, instruction_id
from rba.errors import DataError
from rba.evaluation.leak import Trained, check_leaks, unheard
from rba.evaluation.relatives import Relatives
from rba.models.heard import HEARD
from rba.testing.tiny_utterances import tiny_utterances

TEST = [replace(u, speaker=f"test-{u.voice}") for u in tiny_utterances(6, 3, "test")]
TRAIN = tiny_utterances(6, 3, "train")


def test_what_the_connector_was_trained_on_is_not_tested(tmp_path):
    assert unheard(TEST, tmp_path) == TEST
    known = replace(TEST[0], instruction_id="00000000000000ff")
    np.save(tmp_path / HEARD, np.array([255], np.uint64))
    assert unheard([known, *TEST[3:]], tmp_path) == TEST[3:]


def test_where_the_connector_knows_the_whole_test_that_is_what_is_said(tmp_path):
    np.save(tmp_path / HEARD, np.array([255], np.uint64))
    known = [replace(u, instruction_id="00000000000000ff") for u in TEST[:3]]
    with pytest.raises(DataError, match="none of the 1 test instructions is new: the connector was trained"):
        unheard(known, tmp_path)
    assert unheard([], tmp_path) == []


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


def test_relatives_are_nearer_to_a_training_text_than_the_distance_whatever_the_words():
    rows = [Instruction("a", "name the old capital of france", split="train"), Instruction("b", "sing", split="test")]
    asked = ["what is the old capital of france", "sing", "bake bread", "Name the old capital of France!"]
    near = Relatives(rows, 0.3, WordEmbedder)
    assert near.among(asked) == {asked[0], asked[3]}
    assert near.among([*(f"bake {i}" for i in range(200)), asked[0]]) == {asked[0]}
    assert Relatives(rows, 0.01, WordEmbedder).among(asked) == {asked[3]}


def test_without_texts_or_a_distance_nothing_is_loaded_and_nothing_is_near():
    train = [Instruction("a", "say hi", split="train")]
    for rows, distance, texts in (([], 0.3, ["say hi"]), (train, 0.0, ["say hi"]), (train, 0.3, [])):
        assert Relatives(rows, distance, lambda: pytest.fail("loaded")).among(texts) == set()
