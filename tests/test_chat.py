"""Talking to a model: what was heard is shown, lines that name audio files are spoken input, bad audio is one line."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from rba import chat, cli
from rba.errors import AudioError, RecipeError
from rba.lm.preamble import as_preamble


class Parrot:
    """A SpeechLM that hears how long clips are, and repeats its prompt."""

    lm = None

    def encode(self, waves):
        return [len(wave) for wave in waves]

    def listen(self, features, system=None):
        around = as_preamble(system)
        heard = [n if isinstance(n, list) else [n] for n in features]
        prompts = [f"{around.system}<{'+'.join(map(str, clips))} samples>{around.after}" for clips in heard]
        return prompts, [" ".join(f"{n / 16_000:g} seconds" for n in clips) for clips in heard]

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


def test_a_question_is_spoken_or_typed_or_both(parrot, clip):
    with pytest.raises(ValueError, match="give audio, text or both"):
        chat.ask(parrot)
    reply = chat.ask(parrot, clip, text="How long?", system="Be brief. ")
    assert (reply.heard, reply.text) == ("1 seconds", "Be brief. <16000 samples>\nHow long? T=0")


def test_several_recordings_are_one_question_in_their_order(parrot, clip):
    half = np.zeros(8_000, np.float32)
    for audio in ([clip, half], (str(clip), torch.from_numpy(half)), [clip.read_bytes(), half]):
        reply = chat.ask(parrot, audio, text="Which is longer?")
        assert (reply.heard, reply.text) == ("1 seconds 0.5 seconds", "<16000+8000 samples>\nWhich is longer? T=0")


def test_numbers_in_rows_are_not_taken_for_several_recordings(parrot):
    with pytest.raises(AudioError, match="expected one channel"):
        chat.ask(parrot, [[0.1] * 1600, [0.1] * 1600])
    with pytest.raises(AudioError, match="empty"):
        chat.ask(parrot, [])


def test_a_bad_recording_among_several_is_named(parrot, clip):
    with pytest.raises(AudioError, match=r"gone\.wav"):
        chat.ask(parrot, [clip, "gone.wav"])


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


def test_recordings_behind_a_wav_each_are_one_question(parrot, clip, capsys):
    again = ["--wav", str(clip)]
    assert cli.main(["chat", "shipped", *again, *again, "--text", "The same?"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"you:   {clip} {clip} The same?",
        "heard: 1 seconds 1 seconds",
        "model: <16000+16000 samples>",
        "       The same? T=0",
    ]


def test_recordings_behind_one_wav_are_a_question_each(parrot, clip, capsys):
    assert cli.main(["chat", "shipped", "--wav", str(clip), str(clip)]) == 0
    assert capsys.readouterr().out.count("model: <16000 samples> T=0") == 2


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--wav", "a.wav", "b.wav", "--wav", "c.wav"], "a question of several recordings has one behind each --wav"),
        (["--text", "Why?"], "--text is typed below recordings"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(parrot, capsys, options, line):
    assert cli.main(["chat", "shipped", *options]) == 2
    said = capsys.readouterr().err
    assert line in said and said.count("\n") == 1


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
