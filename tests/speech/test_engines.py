from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from rba.errors import AudioError, ModelError, RecipeError
from rba.speech import engine as engines
from rba.speech import espeak, kokoro, render
from rba.speech.casting import cast, finish, size
from rba.speech.piper import PiperEngine
from rba.speech.speaker import Speaker, SpeakerBank
from rba.speech.text_to_audio import TextToAudioEngine

BANK = SpeakerBank()
TEXT = "Name a fruit."
TRAIN, TEST = BANK.speakers("train"), BANK.speakers("test")


def median_pitch(wave):
    """By autocorrelation, Hz: enough to tell a deep voice from a high one."""
    found = []
    for start in range(0, wave.size - 1024, 512):
        part = wave[start : start + 1024] - wave[start : start + 1024].mean()
        scores = np.correlate(part, part, "full")[1023:]
        lag = 40 + int(np.argmax(scores[40:230]))
        if scores[lag] > 0.5 * scores[0] > 0.05:
            found.append(16_000 / lag)
    return float(np.median(found))


OWN = """
class Beep:
    name = "beep"
    clones = False

    def __init__(self, threads=1):
        pass

    def say(self, text, speaker, seed):
        return [0.5] * len(text)
"""


def test_an_engine_of_ones_own_is_found_in_the_working_folder_and_an_edit_changes_its_hash(tmp_path, monkeypatch):
    (tmp_path / "own_engines.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert engines.find_engine("own_engines:Beep")(threads=1).say("abc", TRAIN[0], 0) == [0.5] * 3
    before = engines.engine_hash("own_engines:Beep")
    (tmp_path / "own_engines.py").write_text(OWN + "# edited\n")
    assert "" != engines.engine_hash("own_engines:Beep") != before
    assert engines.engine_hash("hibari") == engines.engine_hash("piper:voice.onnx") == ""
    with pytest.raises(RecipeError, match=r"cannot load the speech engine.*Absent"):
        engines.find_engine("own_engines:Absent")
    with pytest.raises(RecipeError, match=r"cannot import the speech engine: ModuleNotFoundError.*no_engines:Beep"):
        engines.find_engine("no_engines:Beep")
    sys.modules.pop("own_engines")


def test_test_speakers_have_stock_voices_of_their_own():
    voices = [f"v{i}" for i in range(8)]
    heard = [{cast(s, voices) for s in some} for some in (TRAIN, TEST)]
    assert len(heard[0]) == 6 and len(heard[1]) == 2 and heard[0].isdisjoint(heard[1])
    assert {cast(s, ["only"]) for s in TRAIN + TEST} == {"only"}
    assert cast(TEST[0], ["a", "b"]) != cast(TRAIN[0], ["a", "b"])


@pytest.mark.parametrize(("name", "some"), [("hibari", 24), ("few-voices", 18)])
def test_babble_is_never_by_a_stock_voice_that_is_kept_for_the_test(name, some, monkeypatch):
    heard = []

    def say(text, speaker, seed):
        heard.append(speaker)
        return np.ones(16_000, np.float32)

    monkeypatch.setattr(render, "_talkers", {})
    assert len(render.background_talkers(types.SimpleNamespace(name=name, say=say))) == len(heard) == some
    voices = [f"v{i}" for i in range(20)]
    kept = {cast(s, voices) for s in TEST}
    assert name == "hibari" or kept.isdisjoint(cast(s, voices) for s in heard)


def test_a_smaller_head_raises_every_frequency_and_silence_is_refused():
    wave = np.sin(2 * np.pi * 500 * np.arange(24_000) / 24_000)
    heard = finish(wave, 24_000, TRAIN[0], 1.1)
    peak = np.argmax(np.abs(np.fft.rfft(heard))) * 16_000 / heard.size
    assert abs(peak - 550) < 2 and np.abs(heard).max() <= 0.9 and heard.dtype == np.float32
    assert 1 / 1.12 <= min(map(size, TRAIN)) < 1 < max(map(size, TRAIN)) <= 1.12
    for silent in (np.zeros(24_000), np.zeros(0), np.full(24_000, np.nan)):
        with pytest.raises(AudioError, match="silent"):
            finish(silent, 24_000, TRAIN[0])


@pytest.mark.parametrize("name", ["piper", "transformers:", "festival", ":Engine", "rba.speech.hibari:"])
def test_a_name_that_is_no_engine_is_refused(name):
    with pytest.raises(RecipeError, match="unknown speech engine"):
        engines.find_engine(name)


def test_missing_packages_are_named(monkeypatch, tmp_path):
    espeak._package.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"rba\[espeak\]"):
        engines.prepare("espeak")
    with pytest.raises(ModelError, match=r"rba\[piper\]"):
        engines.prepare("piper:voice.onnx")


def test_espeak_follows_the_speaker_to_the_bit():
    spoken = engines.load_engine("espeak")
    deep, high = Speaker("hibari-0001", f0=0.5), Speaker("hibari-0001", f0=1.2)
    wave = spoken.say(TEXT, deep, 0)
    assert np.array_equal(wave, spoken.say(TEXT, deep, 1)) and wave.dtype == np.float32
    assert median_pitch(spoken.say(TEXT, high, 0)) > 1.3 * median_pitch(wave)
    assert spoken.say(TEXT, Speaker("hibari-0001", f0=0.5, speed=1.4), 0).size < 0.85 * wave.size
    with pytest.raises(AudioError, match="cannot be spoken"):
        spoken.say("你好", deep, 0)


def test_espeak_has_accents_and_voices_enough():
    names = {espeak.settings_of(s)[0] for s in TRAIN}
    assert len(names) > 50 and names.isdisjoint(espeak.settings_of(s)[0] for s in TEST)
    assert espeak.settings_of(Speaker("hibari-0001", accent="gb"))[0].startswith("gmw/en-GB-x-rp+f")
    assert espeak.settings_of(Speaker("hibari-0001", speed=9.0))[3] == 450


def test_kokoro_casts_by_kind_and_accent():
    assert len(kokoro.voices()) == 28 and {v.shape for v in kokoro.voices().values()} == {(128, 256)}
    assert kokoro.voice_of(Speaker("hibari-0001", f0=0.6, accent="gb")).startswith("bm")
    assert kokoro.voice_of(Speaker("hibari-0001", f0=1.0, accent="es")).startswith("af")
    assert {kokoro.voice_of(s) for s in TRAIN}.isdisjoint(kokoro.voice_of(s) for s in TEST)


@pytest.mark.weights
@pytest.mark.slow
def test_kokoro_speaks_the_same_bits_again(weights):
    weights("kokoro-82m")
    spoken, speaker = engines.load_engine("kokoro"), Speaker("hibari-0001")
    wave = spoken.say(TEXT, speaker, 0)
    assert np.array_equal(wave, spoken.say(TEXT, speaker, 1)) and 0.5 < wave.size / 16_000 < 3
    assert spoken.say(TEXT, Speaker("hibari-0001", speed=1.4), 0).size < 0.85 * wave.size
    with pytest.raises(AudioError):
        spoken.say("...", speaker, 0)


def test_piper_is_asked_without_noise_and_at_the_speakers_rate(monkeypatch, tmp_path):
    asked = []

    def speak(text, settings):
        asked.append(settings)
        return [types.SimpleNamespace(audio_float_array=np.sin(np.arange(8000) / 9).astype(np.float32))]

    config = types.SimpleNamespace(num_speakers=4, length_scale=1.0, sample_rate=22_050)
    voice = types.SimpleNamespace(config=config, synthesize=speak)
    settings = lambda number, **rest: types.SimpleNamespace(number=number, **rest)  # noqa: E731
    fake = types.ModuleType("piper")
    fake.__dict__.update(
        PiperVoice=types.SimpleNamespace(load=lambda path: voice), SynthesisConfig=settings, __spec__=object()
    )
    monkeypatch.setitem(sys.modules, "piper", fake)
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *a, **k: None)
    path = tmp_path / "v.onnx"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"v\.onnx\.json"):
        PiperEngine(str(path))
    (tmp_path / "v.onnx.json").write_text("{}")
    spoken = PiperEngine(str(path))
    wave = spoken.say(TEXT, Speaker("hibari-0001", speed=2.0), 0)
    assert abs(wave.size - 8000 * 16_000 / 22_050) < 2
    assert asked[0].length_scale == 0.5 and (asked[0].noise_scale, asked[0].noise_w_scale) == (0, 0)
    spoken.say(TEXT, TEST[0], 0)
    assert asked[0].number != asked[1].number, "test speakers have a voice of their own"


@pytest.fixture(scope="module")
def tiny_vits(tmp_path_factory) -> str:
    """A random VITS with four speakers, saved as a checkpoint."""
    import json

    import torch
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    folder = tmp_path_factory.mktemp("vits")
    letters = ["<pad>", " ", *"abcdefghijklmnopqrstuvwxyz'", "<unk>"]
    (folder / "letters.json").write_text(json.dumps({c: i for i, c in enumerate(letters)}))
    torch.manual_seed(0)
    config = VitsConfig(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, flow_size=16,
        spectrogram_bins=9, upsample_initial_channel=16, upsample_rates=[8, 8], upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]], prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1, posterior_encoder_num_wavenet_layers=1, num_speakers=4,
        speaker_embedding_size=8, duration_predictor_num_flows=1, depth_separable_num_layers=1,
    )  # fmt: skip
    VitsModel(config).save_pretrained(folder)
    VitsTokenizer(str(folder / "letters.json"), phonemize=False, is_uroman=False).save_pretrained(folder)
    return str(folder)


def test_a_model_of_transformers_follows_seed_and_speaker(tiny_vits):
    spoken = TextToAudioEngine(tiny_vits)
    slow = Speaker("hibari-0001", speed=0.5)
    wave = spoken.say("name a fruit please", slow, 7)
    assert np.array_equal(wave, spoken.say("name a fruit please", slow, 7)) and wave.dtype == np.float32
    other = spoken.say("name a fruit please", slow, 8)
    assert wave.size != other.size or not np.array_equal(wave, other)
    assert spoken.say("name a fruit please", Speaker("hibari-0001", speed=1.4), 7).size < wave.size


def test_what_is_no_speech_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot load the speech model"):
        TextToAudioEngine(str(tmp_path))


def test_speech_models_that_cannot_speak_are_told_before_any_work(tmp_path):
    from transformers import SpeechT5Config

    with pytest.raises(ModelError, match="cannot load the speech model"):
        engines.prepare(f"transformers:{tmp_path}")
    SpeechT5Config().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"speaker embedding with every text .*VITS or MMS"):
        engines.prepare(f"transformers:{tmp_path}")
    with pytest.raises(ModelError, match="speaker embedding with every text"):
        TextToAudioEngine(str(tmp_path))
