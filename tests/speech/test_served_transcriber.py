"""Transcription servers: what they are sent, what becomes of their answers, and of their failures."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from services.fault_server import FaultServer, serving

from rba.data import audio
from rba.data.utterance import Utterance
from rba.errors import ModelError, RecipeError
from rba.evaluation.settings import EvaluateSettings
from rba.evaluation.stage import standard_loaders
from rba.services.client import Client
from rba.speech.recogniser import load_recogniser, prepare
from rba.speech.settings import SpeechSettings
from rba.speech.stage import run
from rba.workspace import Workspace
from speech.examples import instructions

FAULTS = ("429", "500", "time-out", "cut", "garbage", "no text")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))


def clip(number: int) -> np.ndarray:
    """A wave that tells its number."""
    return np.full(1600, (number + 1) / 64, np.float32)


def sent_wave(payload: dict) -> np.ndarray:
    return soundfile.read(io.BytesIO(base64.b64decode(payload["clip.wav"])), dtype="float32")[0]


def hear(path: str, payload: dict) -> dict:
    return {"text": f" clip\n{round(64 * float(sent_wave(payload)[0])) - 1} "}


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rba.speech.served_transcriber.Client", lambda service: Client(service, pause=0.01))


def test_a_clip_is_sent_as_it_is_and_its_words_come_back():
    wave = np.random.default_rng(0).uniform(-1.2, 1.2, 3200).astype(np.float32)
    with serving(FaultServer(lambda path, payload: {"text": " Two  words.\n"})) as state:
        heard = load_recogniser(f"openai:{state.url}#org/whisper").transcribe([wave])
    assert heard == ["Two words."] and state.paths == ["/v1/audio/transcriptions"]
    (asked,) = state.payloads
    assert np.abs(sent_wave(asked) - np.clip(wave, -1, 1)).max() <= 1 / 32767
    assert soundfile.info(io.BytesIO(base64.b64decode(asked.pop("clip.wav")))).samplerate == audio.SAMPLE_RATE
    assert asked == {"model": "org/whisper", "language": "en", "temperature": "0", "response_format": "json"}


def test_every_fault_is_survived_and_every_clip_is_heard_once_in_order(monkeypatch: pytest.MonkeyPatch):
    quick(monkeypatch)
    places: dict[str, int] = {}

    def fault(text: str, number: int) -> str:
        place = places.setdefault(text, len(places))
        return FAULTS[(place + number) % len(FAULTS)] if number < 2 else ""

    with serving(FaultServer(hear, fault)) as state:
        name = f"openai:{state.url}?timeout=0.4&retries=4#asr"
        heard = load_recogniser(name).transcribe([clip(i) for i in range(18)])
    assert heard == [f"clip {i}" for i in range(18)]
    assert set(state.attempts.values()) == {3} and set(state.answered.values()) == {1}
    assert 1 < state.most <= 16


def test_a_second_run_asks_nothing_and_another_clip_or_model_is_asked_for():
    with serving(FaultServer(hear)) as state:
        name = f"openai:{state.url}#asr"
        first = load_recogniser(name).transcribe([clip(1), clip(2), clip(1)])
        again = load_recogniser(f"openai:{state.url}?concurrency=2#asr").transcribe([clip(2), clip(1)])
        assert list(state.attempts.values()) == [1, 1]
        load_recogniser(f"openai:{state.url}#other").transcribe([clip(1)])
        load_recogniser(name).transcribe([clip(3)])
    assert first == ["clip 1", "clip 2", "clip 1"] and again == ["clip 2", "clip 1"]
    assert list(state.attempts.values()) == [1, 1, 1, 1]


def test_silence_may_be_heard_as_nothing():
    with serving(FaultServer(lambda path, payload: {"text": ""})) as state:
        assert load_recogniser(f"openai:{state.url}#asr").transcribe([clip(0)]) == [""]


@pytest.mark.parametrize(("status", "says"), [("404", 'no model "asr"'), ("400", "status 400"), ("401", "API key")])
def test_a_refusal_ends_with_one_line(status: str, says: str):
    refusing = FaultServer(hear, lambda text, number: status)
    with serving(refusing) as state, pytest.raises(ModelError, match=says):
        load_recogniser(f"openai:{state.url}#asr").transcribe([clip(0)])
    assert list(state.attempts.values()) == [1]


def test_what_is_missing_is_told_before_work(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(ModelError, match=r"key is not set.*NO_KEY"):
        prepare("openai:http://h/v1?key_env=NO_KEY#m")
    with pytest.raises(RecipeError, match="#model"):
        prepare("openai:http://h/v1")
    prepare("openai:http://h/v1#m")


def test_the_cascade_may_be_served():
    with serving(FaultServer(hear)) as state:
        settings = EvaluateSettings(cascade=f"openai:{state.url}#asr")
        heard = standard_loaders(settings, "").transcriber().transcribe([clip(4), clip(2)])
    assert heard == ["clip 4", "clip 2"]


def test_the_gate_may_be_served_and_turns_down_what_the_server_does_not_hear(tmp_path: Path):
    tone = io.BytesIO()
    soundfile.write(tone, 0.4 * np.sin(np.arange(8000) / 9), 16_000, format="WAV")

    def answer(path: str, payload: dict) -> object:
        return tone.getvalue() if path.endswith("speech") else {"text": "sing"}

    with serving(FaultServer(answer)) as state:
        engine, asr = f"openai:{state.url}?voices=a,b#tts", f"openai:{state.url}#asr"
        settings = SpeechSettings(engine=engine, voices=2, workers=1, gate=True, gate_asr=asr, gate_retries=1)
        folder = Workspace(tmp_path / "run").stage("speech")
        folder.open("mark")
        run(settings, folder=folder, seed=1, instructions=instructions("Sing.", "Dance."))
    said = folder.read(Utterance)
    assert [row.text for row in said] == ["Sing.", "Sing."] and {row.wer for row in said} == {0.0}
    assert folder.notes["dropped"] == {"not intelligible after all retries": 2}
