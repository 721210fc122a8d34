"""Listening conditions: one thing about how a request is heard changes, and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rba.data import audio
from rba.data.utterance import Utterance
from rba.errors import DataError, RecipeError
from rba.evaluation import rendering
from rba.evaluation.listening import FAST, arrange, condition_of, is_typed, say
from rba.evaluation.rendering import render_conditions
from rba.evaluation.settings import ConditionSettings
from rba.speech import accents, kokoro, noise, rooms
from rba.speech.acoustics import Acoustics
from rba.speech.casting import cast
from rba.speech.hibari import HibariEngine
from rba.speech.settings import SpeechSettings
from rba.speech.speaker import SpeakerBank, home_split, speaker

STORED = Acoustics(level_db=-21.0, lead=0.2, tail=0.3, noise="hum", snr_db=12.0, noise_seed=4)
VOICES = tuple(who.id for who in SpeakerBank(200).speakers("test"))
ALL = ("clean", "noise-20", "noise-5", "noise-0", "room", "hall", "telephone", "fast", "slow", "accent", "engine")


def utterance(number: int = 0, voice: str = VOICES[0], text: str = "What is the longest river?") -> Utterance:
    texts = (text, "The Nile.", "", "", "test", "hibari", voice)
    return Utterance(f"q{number}-0", f"q{number}", 0, *texts, 7, STORED.to_json(), 1.0, None, b"")


@pytest.mark.parametrize(
    ("condition", "changes"),
    [
        ("clean", set()),
        ("noise-10", {"acoustics.noise", "acoustics.snr_db", "acoustics.noise_seed"}),
        ("room", {"acoustics.room", "acoustics.wet"}),
        ("hall", {"acoustics.room", "acoustics.wet"}),
        ("telephone", {"acoustics.band", "acoustics.codec"}),
        ("fast", {"speaker.id", "speaker.speed"}),
        ("slow", {"speaker.id", "speaker.speed"}),
        ("accent", {"speaker.id", "speaker.accent", "speaker.accent_strength"}),
        ("engine", {"engine"}),
    ],
)
def test_only_the_named_thing_changes(condition, changes):
    clean, other = (arrange(utterance(), name, "espeak") for name in ("clean", condition))
    changed = {"engine"} if clean.engine != other.engine else set()
    for part in ("speaker", "acoustics"):
        before, after = getattr(clean, part), getattr(other, part)
        changed |= {f"{part}.{f.name}" for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)}
    assert changed - {"acoustics.wet"} == changes - {"acoustics.wet"}


def test_clean_keeps_level_and_silence_of_the_stored_utterance_and_drops_its_disturbance():
    assert arrange(utterance(), "clean", "espeak").acoustics == Acoustics(level_db=-21.0, lead=0.2, tail=0.3)


def test_all_noise_levels_have_the_same_noise():
    loud, faint = (arrange(utterance(), name, "espeak").acoustics for name in ("noise-0", "noise-20"))
    assert (loud.noise, loud.noise_seed) == (faint.noise, faint.noise_seed)
    assert (loud.snr_db, faint.snr_db) == (0.0, 20.0)


@given(st.integers(0, 10_000))
def test_noises_halls_and_accents_are_none_that_training_has(number):
    said = utterance(number)
    assert arrange(said, "noise-10", "e").acoustics.noise in set(noise.RESERVED) - set(noise.KINDS)
    assert arrange(said, "hall", "e").acoustics.room >= rooms.COUNT
    assert arrange(said, "accent", "e").speaker.accent in set(accents.RESERVED) - set(accents.MIX)


@given(st.sampled_from(VOICES), st.sampled_from(("fast", "slow", "accent")))
def test_a_changed_speaker_is_found_again_by_its_id_and_keeps_its_draws(voice, condition):
    changed = arrange(utterance(voice=voice), condition, "e").speaker
    assert speaker(changed.id) == changed
    assert changed.base == voice and home_split(changed.id) == "test"
    stock = tuple(f"voice {i}" for i in range(9))
    assert cast(changed, stock) == cast(speaker(voice), stock)


def test_another_pace_keeps_the_accents_rules():
    engine = HibariEngine()
    for voice in VOICES[:40]:
        plain, fast = speaker(voice), arrange(utterance(voice=voice), "fast", "e").speaker
        assert fast.speed == pytest.approx(plain.speed * FAST, abs=1e-3)
        assert engine.phonemes("Nothing that they have heard", fast) == engine.phonemes(
            "Nothing that they have heard", plain
        )


def test_fast_is_shorter_and_slow_is_longer():
    clean, fast, slow = (say(utterance(), name, "espeak") for name in ("clean", "fast", "slow"))
    assert fast.duration < 0.85 * clean.duration and slow.duration > 1.2 * clean.duration
    assert [condition_of(u.id) for u in (clean, fast, slow)] == ["clean", "fast", "slow"]
    assert clean.acoustics != STORED.to_json() and clean.wer is None


def test_noise_is_mixed_at_its_ratio():
    clean, noisy = (audio.decode(say(utterance(), name, "e").audio, name) for name in ("clean", "noise-0"))
    assert clean.shape == noisy.shape
    assert np.corrcoef(clean, noisy)[0, 1] < 0.95


@pytest.mark.parametrize("kind", noise.RESERVED)
def test_reserved_noises_are_sound_and_seeded(kind):
    one, again, other = (noise.make(kind, 16_000, seed) for seed in (1, 1, 2))
    assert one.shape == (16_000,) and np.isfinite(one).all() and noise.power(one) > 0
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_a_hall_rings_longer_than_any_room():
    def length(response: np.ndarray) -> int:
        energy = np.cumsum(np.square(response.astype(np.float64))[::-1])[::-1]
        return int((energy > 1e-3 * energy[0]).sum())

    assert min(length(rooms.hall(rooms.COUNT + i)) for i in range(5)) > np.median([length(r) for r in rooms.bank()])


@pytest.mark.parametrize("name", ["noise-05", "noise-123", "noise", "loud", "noise--05"])
def test_an_unknown_condition_is_refused(name):
    with pytest.raises(RecipeError, match="conditions"):
        ConditionSettings(names=(name,))


def test_an_id_with_another_change_is_refused():
    with pytest.raises(DataError, match="no such change"):
        speaker("hibari-0042+mood=sad")


SPEECH = SpeechSettings()


def test_conditions_are_made_once_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendering, "SHARD", 2)
    settings = ConditionSettings(names=("clean", "noise-5"), instructions=2, voices=1)
    said = [replace(utterance(i // 2), id=f"q{i // 2}-{i % 2}", voice=i % 2) for i in range(6)]
    made, refused = render_conditions(settings, said, tmp_path, 3, SPEECH)
    assert len(made) == 4 and not refused
    assert len({u.instruction_id for u in made}) == 2 and {u.voice for u in made} == {0}
    last = tmp_path / "part-00001.parquet"
    before = last.read_bytes()
    last.unlink()
    calls = []
    monkeypatch.setattr(rendering, "say", lambda *a: (calls.append(a[1]), say(*a))[1])
    again, _ = render_conditions(settings, said, tmp_path, 3, SPEECH)
    assert again == made and calls == ["clean", "noise-5"] and last.read_bytes() == before


def test_a_request_is_typed_once_whatever_its_voices(tmp_path: Path):
    settings = ConditionSettings(names=("typed",), voices=2)
    said = [replace(utterance(), id=f"q0-{voice}", voice=voice) for voice in range(2)]
    (typed,), refused = render_conditions(settings, said, tmp_path, 0, SPEECH)
    assert is_typed(typed) and not is_typed(said[0]) and not refused
    assert typed.audio == b"" and typed.text == said[0].text


def test_what_cannot_be_said_is_told(tmp_path: Path):
    settings = ConditionSettings(names=("clean",))
    made, refused = render_conditions(settings, [utterance(text="?!")], tmp_path, 0, SPEECH)
    assert made == [] and set(refused) == {"q0-0@clean"}


def test_the_runs_own_engine_is_no_other_engine(tmp_path: Path):
    settings = ConditionSettings(names=("engine",), engine="hibari")
    with pytest.raises(RecipeError, match="does not speak with"):
        render_conditions(settings, [utterance()], tmp_path, 0, SPEECH)
    assert not any(tmp_path.iterdir())


def test_an_engine_without_accents_cannot_change_them(tmp_path: Path):
    settings = ConditionSettings(names=("accent",))
    with pytest.raises(RecipeError, match="cannot change the accent"):
        render_conditions(settings, [replace(utterance(), engine="espeak")], tmp_path, 0, SPEECH)


@pytest.mark.parametrize("engine", ["transformers:model", "openai-clone:http://h/v1#m"])
def test_an_engine_with_its_own_pace_cannot_change_it(engine: str, tmp_path: Path):
    with pytest.raises(RecipeError, match="keeps its own pace"):
        render_conditions(
            ConditionSettings(names=("slow",)), [replace(utterance(), engine=engine)], tmp_path, 0, SPEECH
        )


def test_another_accent_keeps_kokoros_voice(monkeypatch: pytest.MonkeyPatch):
    stock = {f"{side}{kind}_{i}": np.zeros(1) for side in "ab" for kind in "mf" for i in range(8)}
    monkeypatch.setattr(kokoro, "voices", lambda: stock)
    for voice in VOICES:
        changed = arrange(utterance(voice=voice), "accent", "e").speaker
        assert kokoro.voice_of(changed) == kokoro.voice_of(speaker(voice))


def test_an_engine_that_clones_is_refused_without_reference_clips(tmp_path: Path):
    settings = ConditionSettings(names=("engine",), engine="openai-clone:http://h/v1#m")
    with pytest.raises(RecipeError, match=r"clones voices, and the run has no recordings.*conditions\.engine"):
        render_conditions(settings, [utterance()], tmp_path, 0, SPEECH)


def test_an_engine_that_does_not_clone_is_refused_beside_reference_clips(tmp_path: Path):
    settings = ConditionSettings(names=("engine",), engine="hibari")
    cloned = replace(utterance(), engine="speech.examples:Mimic")
    with pytest.raises(RecipeError, match="cannot speak with the voices"):
        render_conditions(settings, [cloned], tmp_path, 0, SpeechSettings(references=str(tmp_path)))
