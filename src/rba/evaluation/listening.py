"""Listening conditions: a test utterance said again, with one thing about how it is heard changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rba.data import audio
from rba.data.seeds import rng
from rba.data.utterance import Utterance
from rba.speech import noise, rooms
from rba.speech.accents import RESERVED
from rba.speech.acoustics import Acoustics
from rba.speech.engine import load_engine
from rba.speech.render import render
from rba.speech.speaker import Speaker, changed, speaker

TYPED = "typed"
"""The condition in which nothing is heard: the request is typed to the models that hear, too."""

HALLS = 1000
FAST, SLOW = 1.5, 0.65
OWN_PACE = ("transformers:", "openai-clone:")  # engines whose rate cannot be set, or not of every model
ACCENTED = frozenset({"hibari", "kokoro"})  # engines that pronounce by the rules of `rba.speech.accents`

_NOISE = re.compile(r"noise-(0|-?[1-9]\d?)")


Voices = Callable[[str], Speaker]


@dataclass(frozen=True)
class Heard:
    """How a request is to be said and heard."""

    engine: str
    speaker: Speaker
    acoustics: Acoustics


def arrange(utterance: Utterance, condition: str, engine: str, voice: Voices = speaker) -> Heard:
    """The engine, speaker and acoustics of `utterance` under a condition; `engine` is the one unseen in training.

    `voice` finds speakers by their ids.

    All conditions share voice, seed, level and the silence around the speech, so that they differ in one thing. What
    is drawn (kind of noise, hall, accent) depends on the utterance alone. Raises KeyError for an unknown
    condition.
    """
    stored = Acoustics.from_json(utterance.acoustics or "{}")
    plain = Acoustics(level_db=stored.level_db, lead=stored.lead, tail=stored.tail)
    here = Heard(utterance.engine, voice(utterance.speaker), plain)
    draw = rng("listening", condition.partition("-")[0], utterance.id)
    if found := _NOISE.fullmatch(condition):
        kind, seed = str(draw.choice(noise.RESERVED)), int(draw.integers(2**31))
        return _heard(here, noise=kind, snr_db=float(found[1]), noise_seed=seed)
    return _CHANGES[condition](here, draw, engine)


def say(utterance: Utterance, condition: str, engine: str, voice: Voices = speaker) -> Utterance:
    """The utterance as it is heard under a condition, with an id of its own: `<id>@<condition>`.

    A typed one has no audio. Raises AudioError where it cannot be said.
    """
    name = f"{utterance.id}@{condition}"
    if condition == TYPED:
        return replace(utterance, id=name, engine="", acoustics="", duration=0.0, wer=None, audio=b"")
    heard = arrange(utterance, condition, engine, voice)
    wave = render(load_engine(heard.engine), utterance.text, heard.speaker, utterance.seed, heard.acoustics)
    return replace(
        utterance,
        id=name,
        engine=heard.engine,
        speaker=heard.speaker.id,
        acoustics=heard.acoustics.to_json(),
        duration=wave.size / audio.SAMPLE_RATE,
        wer=None,
        audio=audio.encode(wave),
    )


def condition_of(utterance_id: str) -> str:
    """The condition in the id of an utterance that `say` made."""
    return utterance_id.rpartition("@")[2]


def is_typed(utterance: Utterance) -> bool:
    """Whether it is a request under the condition `TYPED`."""
    return condition_of(utterance.id) == TYPED


def said_as(utterance_id: str) -> str:
    """The rest of that id: the same for one request in one voice under all conditions."""
    return utterance_id.rpartition("@")[0]


def _heard(heard: Heard, **values: Any) -> Heard:
    return replace(heard, acoustics=replace(heard.acoustics, **values))


def _spoken(heard: Heard, **changes: Any) -> Heard:
    return replace(heard, speaker=changed(heard.speaker, **changes))


_CHANGES = {
    "clean": lambda heard, draw, engine: heard,
    "room": lambda heard, draw, engine: _heard(heard, room=int(draw.integers(rooms.COUNT)), wet=1.0),
    "hall": lambda heard, draw, engine: _heard(heard, room=rooms.COUNT + int(draw.integers(HALLS)), wet=1.0),
    "telephone": lambda heard, draw, engine: _heard(heard, band=(300.0, 3400.0), codec="gsm"),
    "fast": lambda heard, draw, engine: _spoken(heard, pace=FAST),
    "slow": lambda heard, draw, engine: _spoken(heard, pace=SLOW),
    "accent": lambda heard, draw, engine: _spoken(heard, accent=str(draw.choice(sorted(RESERVED)))),
    "engine": lambda heard, draw, engine: replace(heard, engine=engine),
}
