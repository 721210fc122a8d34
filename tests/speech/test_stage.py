from __future__ import annotations

import shutil

import pytest

from rba.data import audio, shards
from rba.data.utterance import Utterance
from rba.errors import AudioError, ModelError, RbaError, RecipeError
from rba.speech import stage
from rba.speech.render import plan_utterance, render, render_utterance
from rba.speech.settings import SpeechSettings
from rba.speech.speaker import SpeakerBank
from rba.workspace import StageFolder
from speech.examples import TEXTS, instructions

SETTINGS = SpeechSettings(voices=3, acoustics="moderate", workers=1, shard_size=2)


def speak(path, items, settings=SETTINGS, seed=0) -> StageFolder:
    folder = StageFolder(path)
    if not folder.open("mark"):
        stage.run(settings, folder=folder, seed=seed, instructions=items)
    return folder


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> StageFolder:
    """Four training instructions, one of them unspeakable, in three voices."""
    return speak(tmp_path_factory.mktemp("speech"), instructions(*TEXTS, "你好"))


def test_every_instruction_is_said_by_different_speakers(spoken):
    rows = spoken.read(Utterance)
    assert [row.text for row in rows] == [text for text in TEXTS for _ in range(3)]
    assert [row.voice for row in rows] == [0, 1, 2] * 4
    for text in TEXTS:
        assert len({row.speaker for row in rows if row.text == text}) == 3


def test_rows_say_what_they_hold(spoken):
    for row in spoken.read(Utterance):
        wave = audio.decode(row.audio)
        assert row.duration == wave.size / 16_000 and row.engine == "hibari" and row.wer is None
        assert (row.response, row.topic, row.difficulty) == ("An answer.", "life", "easy")


def test_stored_rows_render_to_the_same_bytes(spoken):
    assert all(render_utterance(row) == row.audio for row in spoken.read(Utterance))


def test_what_cannot_be_said_is_counted(spoken):
    assert spoken.notes["dropped"] == {"text holds a letter that cannot be spoken": 3}
    assert spoken.notes["utterances"] == 12 and spoken.notes["speakers"]["train"] > 3
    assert 0 < spoken.notes["hours"] < 0.02
    assert spoken.is_complete


def test_test_speakers_are_never_heard_in_training(tmp_path, spoken):
    heard = {row.speaker for row in speak(tmp_path, instructions(*TEXTS[:2], split="test")).read(Utterance)}
    bank = SpeakerBank()
    assert heard <= {s.id for s in bank.speakers("test")}
    assert heard.isdisjoint(s.id for s in bank.speakers("train"))
    assert {row.speaker for row in spoken.read(Utterance)} <= {s.id for s in bank.speakers("train")}


def test_two_workers_write_the_same_bytes_as_one(tmp_path, spoken):
    pooled = speak(tmp_path, instructions(*TEXTS, "你好"), SpeechSettings(voices=3, workers=2, shard_size=2))
    assert pooled.output_hash() == spoken.output_hash()


def test_a_lost_shard_is_made_again(tmp_path, spoken):
    shutil.copytree(spoken.path, tmp_path / "speech")
    folder = StageFolder(tmp_path / "speech")
    kept = folder.shard(0).stat().st_mtime_ns
    folder.shard(1).unlink()
    stage.run(SETTINGS, folder=folder, seed=0, instructions=instructions(*TEXTS, "你好"))
    assert folder.output_hash() == spoken.output_hash()
    assert folder.shard(0).stat().st_mtime_ns == kept
    assert {k: folder.notes[k] for k in spoken.notes} == spoken.notes


def test_another_seed_gives_other_voices(tmp_path, spoken):
    other = speak(tmp_path, instructions(TEXTS[0]), seed=1).read(Utterance)
    assert {row.speaker for row in other} != {row.speaker for row in spoken.read(Utterance)[:3]}


def test_a_retry_has_a_seed_and_acoustics_of_its_own(speaker):
    first, second = (plan_utterance("item", 0, speaker, "hard", 0, attempt) for attempt in (0, 1))
    assert first.seed != second.seed and first.acoustics != second.acoustics


def test_speech_of_more_than_30_seconds_is_refused(engine, speaker):
    plan = plan_utterance("item", 0, speaker, "clean", 0)
    with pytest.raises(RbaError, match="more than 30 s"):
        render(engine, "This goes on and on and on. " * 30, speaker, plan.seed, plan.acoustics)


def test_a_recipe_can_name_an_engine_of_its_own(tmp_path):
    settings = SpeechSettings(engine="speech.examples:Beeper", voices=1, acoustics="clean", workers=1)
    row = speak(tmp_path, instructions(TEXTS[0]), settings).read(Utterance)[0]
    assert row.engine == "speech.examples:Beeper" and render_utterance(row) == row.audio


def test_what_a_worker_lacks_is_told(tmp_path):
    lacking = SpeechSettings(gate=True, gate_asr="/no/such/folder", workers=2)
    with pytest.raises(ModelError, match="the registry holds no such model"):
        next(stage._pooled(lacking, 0, instructions(TEXTS[0]), 1))


def test_no_instructions_give_an_empty_stage(tmp_path):
    folder = speak(tmp_path, [])
    assert folder.is_complete and folder.notes["utterances"] == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"engine": "festival"},
        {"engine": "no.such:Engine"},
        {"acoustics": "wild"},
        {"speakers": 3},
        {"references": "."},
        {"engine": "speech.examples:Mimic"},
        {"engine": "speech.examples:Mimic", "references": "no/such/folder"},
        {"voices": 0},
        {"shard_size": 0},
    ],
)
def test_bad_settings_stop_before_work_begins(tmp_path, bad):
    with pytest.raises(RecipeError):
        speak(tmp_path, instructions(TEXTS[0]), SpeechSettings(**bad))
    assert not list(tmp_path.glob("*.parquet"))


def test_speech_of_nothing_at_all_is_no_finished_stage(tmp_path):
    """It fails in one line that says what was left out and why, and what was there before comes back."""
    settings = SpeechSettings(engine="speech.examples:Beeper", voices=2, acoustics="clean", workers=1, shard_size=1)
    folder = speak(tmp_path, instructions(TEXTS[0]), settings)
    assert not folder.open("other")
    long = [f"{text} {'And then? ' * 40}" for text in TEXTS]
    why = r"none of 8 utterances could be spoken: speech lasts more than 30 s \(8\) .*Beeper.*choose another engine"
    with pytest.raises(AudioError, match=why):
        stage.run(settings, folder=folder, seed=0, instructions=instructions(*long))
    assert folder.put_back() and folder.is_current("mark")


def test_a_shard_of_which_nothing_is_spoken_is_kept_beside_others(tmp_path):
    settings = SpeechSettings(engine="speech.examples:Beeper", voices=1, acoustics="clean", workers=1, shard_size=1)
    folder = speak(tmp_path, instructions("And then? " * 40, TEXTS[0]), settings)
    assert [len(shards.read(folder.shard(index), Utterance)) for index in range(2)] == [0, 1]
    assert (folder.notes["utterances"], folder.notes["dropped"]) == (1, {"speech lasts more than 30 s": 1})


@pytest.mark.weights
@pytest.mark.slow
def test_the_gate_lets_only_understood_speech_pass(tmp_path):
    settings = SpeechSettings(voices=1, acoustics="clean", gate=True, gate_wer=0.0, gate_retries=2, workers=1)
    folder = speak(tmp_path, instructions("What is the capital of Australia?"), settings)
    dropped = sum(folder.notes["dropped"].values())
    rows = folder.read(Utterance)
    assert len(rows) + dropped == 1
    assert all(row.wer == 0 for row in rows)
    assert all(render_utterance(row) == row.audio for row in rows)
