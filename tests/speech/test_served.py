"""Speech servers: what they are asked, what becomes of their answers, and of their failures."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from services.fault_server import FaultServer, serving

from rba.errors import AudioError, ModelError, RecipeError
from rba.evaluation.rendering import check_engines
from rba.evaluation.settings import ConditionSettings
from rba.services.client import Client
from rba.services.service import parse_service
from rba.speech.bank import check_bank
from rba.speech.casting import cast
from rba.speech.engine import clones, find_engine, load_engine, prepare
from rba.speech.references import find_speaker
from rba.speech.served import ServedEngine
from rba.speech.settings import SpeechSettings
from rba.speech.speaker import Speaker, SpeakerBank
from rba.speech.stage import run
from rba.workspace import Workspace
from speech.examples import instructions

VOICES = "alloy,echo,nova,onyx"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))


def sound(seconds: float = 0.5, rate: int = 24_000) -> bytes:
    buffer = io.BytesIO()
    time = np.arange(int(seconds * rate)) / rate
    soundfile.write(buffer, 0.4 * np.sin(2 * np.pi * 220 * time), rate, format="WAV")
    return buffer.getvalue()


def talker(fault=lambda text, number: "") -> FaultServer:
    return FaultServer(lambda path, payload: sound(), fault)


def test_a_speaker_is_cast_and_its_rate_is_asked_for():
    who = SpeakerBank(40).speakers("train")[0]
    with serving(talker()) as state:
        wave = find_engine(f"openai:{state.url}?voices={VOICES}#tts")().say("Hello there.", who, 1)
    assert wave.dtype == np.float32 and wave.size == pytest.approx(8_000, rel=0.6) and np.abs(wave).max() <= 0.9
    (asked,) = state.payloads
    assert state.paths == ["/v1/audio/speech"]
    assert (asked["model"], asked["input"], asked["response_format"]) == ("tts", "Hello there.", "wav")
    assert asked["voice"] == cast(who, VOICES.split(","))
    assert 0.25 <= asked["speed"] <= 4 and set(asked) == {"model", "input", "response_format", "voice", "speed"}


def test_a_cloned_voice_goes_with_the_request(tmp_path: Path):
    clip = tmp_path / "ann.wav"
    clip.write_bytes(sound())
    who = Speaker("clone-ann", reference=str(clip), reference_text="Good day.")
    with serving(talker()) as state:
        engine = find_engine(f"openai-clone:{state.url}#tts")()
        wave = engine.say("Hello there.", who, 2**40 + 5)
        engine.say("Hello there.", replace(who, reference_text=""), 5)
    assert wave.size == pytest.approx(8_000, abs=10)
    first, second = state.payloads
    assert base64.b64decode(first["ref_audio"].removeprefix("data:audio/wav;base64,")) == clip.read_bytes()
    assert (first["ref_text"], first["seed"]) == ("Good day.", 5) and "ref_text" not in second
    assert "voice" not in first
    with pytest.raises(AudioError, match="reference clip cannot be read"):
        engine.say("Hello.", replace(who, reference="gone.wav"), 5)


def test_clips_without_words_are_told_before_work_or_sent_as_voices_alone(tmp_path: Path):
    for name in ("ann", "ben"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.wav").write_bytes(sound(4))
    (tmp_path / "ann" / "clip.txt").write_text("Good day.")
    with serving(talker()) as state:
        name = f"openai-clone:{state.url}#tts"
        settings = SpeechSettings(engine=name, references=str(tmp_path), voices=1)
        with pytest.raises(
            RecipeError, match=r"1 people have no clip with its words.*ben/clip\.wav.*CLIP\.txt.*x_vector"
        ):
            check_bank(settings, [])
        with pytest.raises(RecipeError, match="no clip with its words"):
            check_engines(
                ConditionSettings(names=("engine",), engine=name), set(), SpeechSettings(references=str(tmp_path))
            )
        assert not state.paths
        alone = name.replace("#", "?x_vector_only_mode=true#")
        check_bank(replace(settings, engine=alone), [])
        find_engine(alone)().say("Hello there.", find_speaker("clone-ann", str(tmp_path)), 5)
    assert state.payloads[0]["x_vector_only_mode"] is True and "ref_text" not in state.payloads[0]
    assert parse_service("openai:http://h/v1?x_vector_only_mode=true#m").identity.count("x_vector_only_mode=true") == 1


def test_which_engine_clones():
    assert clones("openai-clone:http://h/v1#m") and not clones("openai:http://h/v1#m")


def test_speech_once_given_is_kept_and_failures_are_tried_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rba.speech.served.Client", lambda service, **k: Client(service, pause=0.01, **k))
    faults = ["500", "garbage", "cut", "429"]
    with serving(talker(lambda text, number: faults[number] if number < len(faults) else "")) as state:
        engine = ServedEngine(f"{state.url}?voices={VOICES}#tts")
        waves = [engine.say("Hello there.", SpeakerBank(9)[2], 1) for _ in range(2)]
    assert np.array_equal(*waves)
    assert list(state.attempts.values()) == [5] and list(state.answered.values()) == [1]


def test_a_server_that_refuses_ends_with_one_line():
    with serving(talker(lambda text, number: "404")) as state, pytest.raises(ModelError, match="no such endpoint"):
        ServedEngine(f"{state.url}?voices={VOICES}#tts").say("Hello.", SpeakerBank(9)[2], 1)


def test_what_is_missing_is_told_before_work(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(RecipeError, match=r"names of its voices.*voices="):
        prepare("openai:http://h/v1#m")
    with pytest.raises(ModelError, match=r"key is not set.*NO_KEY"):
        prepare("openai-clone:http://h/v1?key_env=NO_KEY#m")
    prepare("openai-clone:http://h/v1#m")


def test_the_voices_belong_to_what_the_answers_depend_on():
    one, other = (parse_service(f"openai:http://h/v1?voices={v}#m").identity for v in ("a,b", "a,c"))
    assert one != other


def test_the_stage_speaks_with_a_server_and_an_utterance_can_be_said_again(tmp_path: Path):
    with serving(talker()) as state:
        name = f"openai:{state.url}?voices={VOICES}#tts"
        folder = Workspace(tmp_path).stage("speech")
        folder.open("mark")
        run(SpeechSettings(engine=name, voices=2, workers=1), folder=folder, seed=1, instructions=instructions("Sing."))
        from rba.data.utterance import Utterance
        from rba.speech.render import render_utterance

        said = folder.read(Utterance)
        assert len(said) == 2 and all(render_utterance(u) == u.audio for u in said)
    load_engine.cache_clear()
