from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile

from rba.data.utterance import Utterance
from rba.errors import DataError, RecipeError
from rba.speech import stage
from rba.speech.references import ReferenceBank
from rba.speech.render import render_utterance
from rba.speech.settings import SpeechSettings
from rba.workspace import StageFolder
from speech.examples import TEXTS, instructions


def clip(path, seconds, hz=200.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * 8000)) / 8000
    with path.open("wb") as file:
        soundfile.write(file, 0.3 * np.sin(2 * np.pi * hz * time), 8000, format=path.suffix[1:])


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> str:
    """Forty people with one clip of 4 s each in a subfolder of theirs; one more whose clips are all too short."""
    root = tmp_path_factory.mktemp("people")
    for i in range(40):
        clip(root / f"{1000 + i}" / "chapter" / "a.flac", 4, 100 + 5 * i)
    clip(root / "1000" / "chapter" / "b.wav", 1)
    (root / "1000" / "chapter" / "a.normalized.txt").write_text("What was said.\n")
    clip(root / "2000" / "short.wav", 2.9)
    (root / "3000").mkdir()
    (root / "3000" / "broken.wav").write_text("no audio")
    return str(root)


def test_everyone_with_a_clip_of_three_seconds_is_in_one_split(people):
    bank = ReferenceBank(people)
    splits = {split: {s.id for s in bank.speakers(split)} for split in ("train", "validation", "test")}
    assert set.union(*splits.values()) == {f"clone-{1000 + i}" for i in range(40)}
    assert sum(map(len, splits.values())) == 40 and splits["test"]


def test_the_clip_and_its_words_come_with_the_speaker(people):
    speaker = ReferenceBank(people)["clone-1000"]
    assert speaker.reference.endswith("1000/chapter/a.flac") and speaker.reference_text == "What was said."
    assert ReferenceBank(people)["clone-1001"].reference_text == ""


def test_a_clip_with_its_words_comes_before_the_others(tmp_path):
    for name in "abcdefgh":
        clip(tmp_path / "anna" / "chapter" / f"{name}.wav", 4)
    (tmp_path / "anna" / "chapter" / "c.txt").write_text("Sea.")
    (tmp_path / "anna" / "chapter" / "f.normalized.txt").write_text("Eff.")
    bank = ReferenceBank(str(tmp_path))
    assert bank["clone-anna"].reference_text in ("Sea.", "Eff.") and not bank.wordless()


def test_drawn_people_are_different_and_follow_the_parts(people):
    bank = ReferenceBank(people)
    first = bank.draw("train", 4, 0, "item")
    assert len({s.id for s in first}) == 4 and first == bank.draw("train", 4, 0, "item")
    assert any(first != bank.draw("train", 4, 0, f"item {i}") for i in range(3))


def test_the_people_of_a_corpus_are_those_of_its_subsets(tmp_path):
    for person in ("train-clean-100/103/1240", "train-clean-360/100/121726", "dev_other/116/288", "test/7/1"):
        clip(tmp_path / person / "a.wav", 4)
    clip(tmp_path / "test" / "103" / "again.wav", 4)
    clip(tmp_path / "trainer" / "hello.wav", 4)
    clip(tmp_path / "dev" / "hello.wav", 4)
    bank = ReferenceBank(str(tmp_path))
    names = {s.id for split in ("train", "validation", "test") for s in bank.speakers(split)}
    assert names == {f"clone-{name}" for name in ("7", "100", "103", "116", "dev", "trainer")}
    subset = ReferenceBank(str(tmp_path / "train-clean-360"))
    assert subset["clone-100"] == bank["clone-100"], "with or without the layer, a person has the same clip and split"


def test_a_folder_whose_recordings_all_lie_deeper_is_no_person(tmp_path):
    clip(tmp_path / "anna" / "chapter" / "a.wav", 4)
    clip(tmp_path / "anna" / "chapter" / "takes" / "b.wav", 4)
    assert ReferenceBank(str(tmp_path))["clone-anna"].reference
    clip(tmp_path / "LibriTTS" / "train-clean-360" / "100" / "121726" / "a.wav", 4)
    with pytest.raises(RecipeError, match=r"too deep for a person's folder .*LibriTTS\); name the folder"):
        ReferenceBank(f"{tmp_path}/.").speakers("train")


@pytest.mark.parametrize("place", [b"anna/caf\xe9.wav", b"ren\xe9/hello.wav"])
def test_a_name_that_is_not_utf_8_is_told(tmp_path, place):
    clip(tmp_path / os.fsdecode(place).partition("/")[0] / "a.wav", 4)
    (tmp_path / os.fsdecode(place)).write_bytes(b"")
    with pytest.raises(RecipeError, match=r"name of a reference clip is not UTF-8 .*rename it"):
        ReferenceBank(str(tmp_path)).speakers("train")


def test_words_that_are_not_utf_8_are_told(tmp_path):
    clip(tmp_path / "anna" / "a.wav", 4)
    (tmp_path / "anna" / "a.txt").write_bytes(b"un caf\xe9")
    with pytest.raises(RecipeError, match=r"words of a reference clip are not UTF-8 .*a\.txt"):
        ReferenceBank(str(tmp_path)).speakers("train")


def test_faults_are_named(people, tmp_path):
    with pytest.raises(RecipeError, match=r"speech\.references"):
        ReferenceBank(people).draw("train", 400)
    with pytest.raises(RecipeError, match="no reference clips"):
        ReferenceBank(str(tmp_path)).speakers("train")
    with pytest.raises(RecipeError, match="unknown split"):
        ReferenceBank(people).speakers("dev")
    with pytest.raises(DataError, match="clone-9"):
        ReferenceBank(people)["clone-9"]


def test_a_cloning_engine_speaks_with_recorded_voices(people, tmp_path):
    settings = SpeechSettings(
        engine="speech.examples:Mimic", voices=2, acoustics="clean", workers=1, references=people, shard_size=2
    )
    folder = StageFolder(tmp_path)
    folder.open("mark")
    stage.run(settings, folder=folder, seed=0, instructions=instructions(*TEXTS))
    rows = folder.read(Utterance)
    assert {row.speaker for row in rows} <= {s.id for s in ReferenceBank(people).speakers("train")}
    assert len({row.audio for row in rows}) > 4, "each voice is its own"
    assert all(render_utterance(row, people) == row.audio for row in rows)
