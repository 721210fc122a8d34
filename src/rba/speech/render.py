"""Rendering: text, speaker, seed and acoustics to a waveform, always the same for the same four."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rba.data import audio, seeds
from rba.data.utterance import Utterance
from rba.errors import AudioError
from rba.speech import acoustics as acoustics_module
from rba.speech.acoustics import Acoustics
from rba.speech.engine import Engine, load_engine
from rba.speech.references import find_speaker
from rba.speech.speaker import Speaker, SpeakerBank, home_split

# What the people in the background say. Their voices come from a bank of their own, so that no test speaker is heard;
# an engine with a few stock voices would yet play some of them by those that it keeps for the test, so they are silent.
_CHATTER = (
    "I told them we would be there by seven, but the traffic was terrible all the way into town.",
    "Have you seen the new place on the corner? They do a very good lunch on Fridays.",
    "She said the meeting moved to Thursday, so nobody had the right papers with them.",
    "Well, my brother wants to paint the kitchen yellow, and I really do not know about that.",
    "It rained so hard last night that the garden looks like a small lake this morning.",
    "We should call your mother before the weekend and ask about the train tickets.",
)
_CHATTER_BANK = SpeakerBank(size=24, seed=990017)


def render(engine: Engine, text: str, speaker: Speaker, seed: int, acoustics: Acoustics) -> np.ndarray:
    """Speak `text` and let it be heard: float32 [samples] at 16 kHz, at most 30 s.

    Raises AudioError for text that cannot be said and for speech that is too long.
    """
    wave = engine.say(text, speaker, seed)
    talkers = background_talkers(engine) if acoustics.noise == "babble" else ()
    wave = acoustics_module.apply(wave, acoustics, talkers)
    if wave.size > audio.MAX_SECONDS * audio.SAMPLE_RATE:
        seconds = wave.size / audio.SAMPLE_RATE
        raise AudioError(f"speech lasts more than {audio.MAX_SECONDS:g} s", f"{seconds:.1f} s", "shorten the text")
    return audio.check(wave, text[:40])


_talkers: dict[str, tuple[np.ndarray, ...]] = {}


def background_talkers(engine: Engine) -> tuple[np.ndarray, ...]:
    """The clean utterances that babble is mixed from: the same for an engine, made once per process (in a second).

    Behind cloned voices hibari speaks: nobody has recorded the people in the background.
    """
    if getattr(engine, "clones", False):
        engine = load_engine("hibari")
    if engine.name not in _talkers:
        bank = [_CHATTER_BANK[i] for i in range(len(_CHATTER_BANK))]
        voices = bank if engine.name == "hibari" else [voice for voice in bank if home_split(voice.id) != "test"]
        said = (engine.say(_CHATTER[i % len(_CHATTER)], voice, seed=i) for i, voice in enumerate(voices))
        _talkers[engine.name] = tuple(said)
    return _talkers[engine.name]


@dataclass(frozen=True)
class Plan:
    """How one utterance is to sound: what `render` needs beside the text."""

    speaker: Speaker
    seed: int
    acoustics: Acoustics


def plan_utterance(
    instruction_id: str, voice: int, speaker: Speaker, profile: str, seed: int, attempt: int = 0
) -> Plan:
    """Seed and acoustics of voice number `voice` of an instruction: a pure function of the arguments.

    `attempt` counts the retries of the intelligibility gate; each has a seed and acoustics of its own.
    """
    place = (seed, instruction_id, voice, attempt)
    return Plan(speaker, seeds.derive("say", *place), acoustics_module.sample(profile, seeds.rng("acoustics", *place)))


def render_utterance(utterance: Utterance, references: str = "") -> bytes:
    """The FLAC bytes of a stored utterance, made again from its text, speaker, seed and acoustics.

    A cloned voice needs the folder of its reference clips. Raises DataError for a speaker that does not exist.
    """
    heard = Acoustics.from_json(utterance.acoustics)
    engine = load_engine(utterance.engine)
    voice = find_speaker(utterance.speaker, references)
    return audio.encode(render(engine, utterance.text, voice, utterance.seed, heard))
