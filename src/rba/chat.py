"""Talking to a SpeechLM: one question, typed or spoken, and its answer; and the loop of `rba chat`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rba.errors import AudioError, RbaError, RecipeError
from rba.files import local
from rba.lm.sampling import Sampling

if TYPE_CHECKING:
    import numpy as np
    import torch

    from rba.models.speechlm import SpeechLM

    Audio = str | Path | bytes | np.ndarray | Sequence[float] | torch.Tensor

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
DEFAULT_SAMPLING = Sampling(temperature=0.0, max_new_tokens=128)


@dataclass(frozen=True)
class Reply:
    """A SpeechLM's answer `text`, and what it `heard`: the words read off the speech ("" if none are), or typed."""

    text: str
    heard: str


def ask(
    speechlm: SpeechLM,
    audio: Audio | Sequence[Audio] | None = None,
    *,
    text: str | None = None,
    system: str | None = None,
    sampling: Sampling = DEFAULT_SAMPLING,
    seed: int = 0,
) -> Reply:
    """Ask one question: `audio` is a file, its bytes or a 16 kHz mono waveform [samples]; `text` is a typed question.

    A waveform is an array, list or tensor in [-1, 1], or in int16 or int32; several recordings in a list are heard one
    after the other in one prompt. Beside audio, `text` stands below it in the same turn, in the place of the task that
    a checkpoint may have. Raises AudioError for audio that cannot be used, ModelError for several recordings where the
    model takes one a prompt, and ValueError where neither is given.
    """
    from rba.lm.generation import generate
    from rba.lm.preamble import Preamble

    if audio is not None:
        features = speechlm.encode([_wave(clip) for clip in _recordings(audio)])
        question = features if len(features) > 1 else features[0]
        around = system if text is None else Preamble(system or "", after=f"\n{text}")
        prompts, words = speechlm.listen([question], around)
        heard = words[0] if words else ""
    elif text is not None:
        prompts, heard = speechlm.text_prompts([text], system), text
    else:
        raise ValueError("give audio, text or both")
    completion = generate(speechlm.lm, prompts, sampling, [seed])[0][0]
    return Reply(completion.text, heard)


def chat(
    checkpoint: str,
    questions: Sequence[str | Sequence[str]] = (),
    system: str | None = None,
    sampling: Sampling = DEFAULT_SAMPLING,
    seed: int = 0,
    text: str | None = None,
) -> None:
    """Answer the `questions`; without any, answer what is typed or piped in, line by line, until the input ends.

    A question is a recording, or several that are heard one after the other; `text` is typed below each. A line that is
    the path of an audio file is spoken input. Raises, before anything is loaded, AudioError for a recording that cannot
    be used and RecipeError for a negative seed or a `text` below nothing; at a terminal a bad line is reported and the
    talk goes on.
    """
    if seed < 0:
        raise RecipeError("the seed cannot be negative", f"seed {seed}", "give 0 or more")
    if text is not None and not questions:
        raise RecipeError("--text is typed below recordings", fix="give some with --wav, or type the question alone")
    spoken = [[question] if isinstance(question, str) else question for question in questions]
    waves = [[_wave(path) for path in paths] for paths in spoken]

    from rba.models.load import load_speechlm

    speechlm = load_speechlm(checkpoint)
    for paths, clips in zip(spoken, waves):
        print("you:   " + " ".join([*paths, text] if text else paths))
        _show(ask(speechlm, clips, text=text, system=system, sampling=sampling, seed=seed), spoken=True)
    if questions:
        return
    talking = sys.stdin.isatty()
    if talking:
        print("Type a question or the path of an audio file; end with Ctrl-D.")
    for line in _questions(talking):
        recorded = is_recording(line)
        try:
            audio, typed = (line, None) if recorded else (None, line)
            _show(ask(speechlm, audio, text=typed, system=system, sampling=sampling, seed=seed), recorded)
        except RbaError as error:
            if not talking:
                raise
            print(f"       {error}")


def is_recording(line: str) -> bool:
    """Whether a typed line means an audio file: it names a file, or is one word that ends like one."""
    if not line.lower().endswith(AUDIO_SUFFIXES):
        return False
    return len(line.split()) == 1 or _is_file(line)


def _is_file(line: str) -> bool:
    try:
        return local(line).is_file()
    except (OSError, RecipeError):  # too long for a path, or in a home folder of nobody
        return False


def _recordings(audio: Any) -> Sequence[Any]:
    """The recordings that `ask` is given; a list of numbers, also in rows, is meant for one waveform."""
    listed = isinstance(audio, list | tuple) and len(audio) > 0
    if listed and all(isinstance(part, str | Path | bytes) or getattr(part, "ndim", 0) for part in audio):
        return audio
    return [audio]


def _wave(audio: Any) -> np.ndarray:
    """The checked waveform of what `ask` takes for one recording."""
    from rba.data.audio import as_wave, check

    return _decoded(audio) if isinstance(audio, str | Path | bytes) else check(as_wave(audio))


def _decoded(audio: str | Path | bytes) -> np.ndarray:
    """The waveform of a recording. Raises AudioError where it cannot be used, RecipeError for "~name" of nobody."""
    from rba.data.audio import decode

    try:
        return decode(audio if isinstance(audio, bytes) else local(audio))
    except OSError as error:
        raise AudioError(f"no audio file can be read there: {error.strerror}", str(audio), "check the path") from error


def _questions(talking: bool) -> Iterator[str]:
    """The non-empty lines of stdin, each after a prompt at a terminal or repeated where they are piped in.

    Bytes that are no text become U+FFFD, which the repeated line shows.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    for line in _typed() if talking else sys.stdin:
        if question := line.strip():
            if not talking:
                print(f"you:   {question}")
            yield question


def _typed() -> Iterable[str]:
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its line editing
    while True:
        try:
            yield input("you:   ")
        except (EOFError, KeyboardInterrupt):
            print()
            return


def _show(reply: Reply, spoken: bool) -> None:
    if spoken and reply.heard:
        print(f"heard: {reply.heard}")
    answer = reply.text.replace("\n", "\n       ")
    print(f"model: {answer}", flush=True)
