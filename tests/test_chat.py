"""Talking to a model: what was heard is shown, lines that name audio files are spoken input, bad audio is one line."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from rba import chat
from rba.errors import AudioError, RecipeError


class Parrot:
    """A SpeechLM that hears how long a clip is, and repeats its prompt."""

    lm = None

    def encode(self, waves):
        return [len(wave) for wave in waves]

    def listen(self, features, system=None):
        return [f"{system or ''}<{n} samples>" for n in features], [f"{n / 16_000:g} seconds" for n in features]

    def text_prompts(self, texts, system=None):
        return [f"{system or ''}{text}" for text in texts]


@pytest.fixture
def parrot(monkeypatch) -> Parrot:
    """The parrot as every checkpoint, and a generator that echoes."""
    import rba.lm.generation
    import rba.models.load

    def generate(lm, prompts, sampling, seeds):
        return [[SimpleNamespace(text=f"{prompt} T={sampling.temperature:g}")] for prompt in prompts]

    monkeypatch.setattr(rba.lm.generation, "generate", generate)
    monkeypatch.setattr(rba.models.load, "load_speechlm", lambda name: Parrot())
    return Parrot()


@pytest.fixture
def clip(tmp_path):
    """A second of speech, in stereo at 8 kHz."""
    path = tmp_path / "my question.wav"
    soundfile.write(path, np.full((8_000, 2), 0.1), 8_000)
    return path


def test_a_recording_is_answered_and_what_was_heard_is_told(parrot, clip):
    for audio in (clip, str(clip), clip.read_bytes(), np.zeros(16_000, np.float32)):
        reply = chat.ask(parrot, audio)
        assert (reply.heard, reply.text) == ("1 seconds", "<16000 samples> T=0")


def test_a_typed_question_is_answered(parrot):
    reply = chat.ask(parrot, text="Why?", system="Be brief. ")
    assert (reply.heard, reply.text) == ("Why?", "Be brief. Why? T=0")


@pytest.mark.parametrize("question", [{}, {"audio": b"x", "text": "x"}])
def test_a_question_is_either_spoken_or_typed(parrot, question):
    with pytest.raises(ValueError, match="either audio or text"):
        chat.ask(parrot, **question)


def test_waveforms_are_checked_too(parrot):
    with pytest.raises(AudioError, match="NaN"):
        chat.ask(parrot, np.full(16_000, np.nan, np.float32))


def test_piped_lines_are_answered_in_turn(parrot, clip, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Hello there\n\n  {clip}\nWhat is a .wav file?"))
    chat.chat("shipped")
    assert capsys.readouterr().out.splitlines() == [
        "you:   Hello there",
        "model: Hello there T=0",
        f"you:   {clip}",
        "heard: 1 seconds",
        "model: <16000 samples> T=0",
        "you:   What is a .wav file?",
        "model: What is a .wav file? T=0",
    ]


def test_recordings_are_answered_without_asking(parrot, clip, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("never read"))
    chat.chat("shipped", [str(clip), str(clip)])
    assert capsys.readouterr().out.count("heard: 1 seconds") == 2


def test_bad_recordings_are_refused_before_the_model_is_loaded(parrot, clip, monkeypatch):
    import rba.models.load

    monkeypatch.setattr(rba.models.load, "load_speechlm", lambda name: pytest.fail("was loaded"))
    with pytest.raises(AudioError, match="no such audio file"):
        chat.chat("shipped", [str(clip), str(clip.with_name("gone.wav"))])


def test_a_negative_seed_is_refused_before_the_model_is_loaded(parrot, monkeypatch):
    import rba.models.load

    monkeypatch.setattr(rba.models.load, "load_speechlm", lambda name: pytest.fail("was loaded"))
    with pytest.raises(RecipeError, match="the seed cannot be negative"):
        chat.chat("shipped", seed=-1)


def test_piped_bytes_that_are_no_text_are_shown_as_such(parrot, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"A caf\xe9?\nWhy?\n"), encoding="utf-8"))
    chat.chat("shipped")
    assert capsys.readouterr().out.splitlines()[::2] == ["you:   A caf\ufffd?", "you:   Why?"]


def terminal(monkeypatch, lines):
    """Let `lines` be typed at a terminal that then closes."""
    typed = iter(lines)

    def read(prompt):
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))


def test_at_a_terminal_a_bad_line_does_not_end_the_talk(parrot, monkeypatch, capsys):
    long = "a" * 300 + ".wav"
    terminal(monkeypatch, ["gone.wav", long, "~nobody-here/x.wav", "Hello"])
    chat.chat("shipped")
    out = capsys.readouterr().out
    assert "no such audio file (gone.wav)" in out and "model: Hello T=0" in out
    assert f"no audio file can be read there: File name too long ({long})" in out
    assert "nobody here has this home folder (~nobody-here/x.wav)" in out


def test_in_a_pipe_a_bad_line_is_an_error(parrot, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("gone.wav\nHello\n"))
    with pytest.raises(AudioError, match=r"gone\.wav"):
        chat.chat("shipped")


@pytest.mark.parametrize(
    ("line", "spoken"),
    [
        *(("a.wav", True), ("dir/b.FLAC", True), ("what is a .wav", False), ("wav", False)),
        *(("Play a.mp3 please.", False), (f"what is {'very ' * 60}.wav", False), ("~nobody-here/x y.wav", False)),
    ],
)
def test_what_counts_as_a_recording(line, spoken):
    assert chat.is_recording(line) is spoken


def test_a_waveform_may_be_a_list_and_one_in_int16_is_heard_at_its_loudness(parrot, monkeypatch):
    heard = []
    monkeypatch.setattr(parrot, "encode", lambda waves: heard.extend(waves) or [len(wave) for wave in waves])
    for wave in ([0.5] * 1600, np.full(1600, 2**14, np.int16)):
        chat.ask(parrot, wave)
    assert [wave.tolist() for wave in heard] == [[0.5] * 1600] * 2
