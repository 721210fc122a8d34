"""What the benchmarks listen to: a SpeechLM, and requests spoken by hibari in several voices, the same every time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rba.data.audio import SAMPLE_RATE
from rba.data.instruction import Instruction, instruction_id
from rba.data.utterance import Utterance
from rba.models.speechlm import SpeechLM

RANDOM = "random:"
SPOKEN = (
    (
        "Can you tell me how to keep basil alive on a kitchen window through the winter?",
        "Give it as much light as you can, at least six hours a day, and turn the pot every week. Water it only when "
        "the top of the soil feels dry, keep it away from cold glass, and pinch off the tips before it flowers.",
    ),
    (
        "What should I look for when I buy a used bicycle?",
        "Check that the frame has no cracks and that both wheels spin true. Try the brakes and every gear, look at the "
        "chain and the tyres for wear, and ask the seller for a receipt so that you know it was not stolen.",
    ),
    (
        "Why does bread go stale faster in the fridge than on the counter?",
        "Starch in bread slowly turns back into crystals and pushes out water, and that happens fastest just above "
        "freezing. A cloth bag on the counter or a closed bag in the freezer keeps a loaf soft for much longer.",
    ),
    (
        "Suggest three quiet games for a long train journey with two children.",
        "Play twenty questions, where one of you thinks of an animal and the others guess. Draw a picture together, "
        "one line each in turn. Or tell a story one sentence at a time and see where it has gone by the next station.",
    ),
    (
        "How can I fall asleep more easily after a stressful day at work?",
        "Stop working at least an hour before bed and put the phone in another room. Write down what you have to do "
        "tomorrow, dim the lights, and breathe slowly, four counts in and six counts out, until your thoughts settle.",
    ),
    (
        "What is the difference between a moth and a butterfly?",
        "Butterflies mostly fly by day, rest with closed wings, and have thin feelers with a small knob at the end. "
        "Moths mostly fly at night, rest with open wings, and their feelers look like threads or little feathers.",
    ),
    (
        "Please explain to my grandmother what a password manager does.",
        "It is a locked notebook that remembers all your passwords for you. You only learn one long password that "
        "opens the notebook, and it fills in the others, so that each of your accounts can have a strong one.",
    ),
    (
        "Which vegetables can I still plant in the garden in August?",
        "Sow spinach, radishes, lettuce and turnips straight into the soil, and plant young cabbages and leeks. They "
        "like the cooler weeks that follow. Keep the seeds damp while it is still hot, and shade them at midday.",
    ),
)
"""Requests with answers of some fifty words, as a teacher gives them."""


def open_model(name: str, tiny: bool) -> SpeechLM:
    """The SpeechLM `name`, one of random weights in the size of NAME for "random:NAME", or a `tiny` random one."""
    if tiny:
        from rba.testing.tiny_speechlm import tiny_speechlm

        return tiny_speechlm()
    if name.startswith(RANDOM):
        from random_model import random_model

        return random_model(name.removeprefix(RANDOM))
    from rba.models.load import load_speechlm

    return load_speechlm(name)


def utterances(requests: int, voices: int, tiny: bool) -> list[Utterance]:
    """The first `requests` of the list in so many voices each; with `tiny`, six at most, and chords for speech."""
    if tiny:
        from rba.testing.tiny_utterances import tiny_utterances

        return tiny_utterances(min(requests, 6), voices)
    from rba.speech.settings import SpeechSettings
    from rba.speech.worker import make_worker

    speak = make_worker(SpeechSettings(voices=voices), seed=0)
    items = [Instruction(instruction_id(text), text, answer) for text, answer in SPOKEN[:requests]]
    return [row for item in items for row in speak(item).utterances]


def prompts(speechlm: SpeechLM, rows: Sequence[Utterance]) -> list[torch.Tensor]:
    """What the LLM gets of them: embeddings [T_i, D]."""
    from rba.alignment.bank import build_bank

    bank, _ = build_bank(speechlm, rows, keep_features=False)
    return bank.initial([row.id for row in rows])


def long_request(seconds: float, tiny: bool) -> np.ndarray:
    """A spoken request of exactly so many seconds: float32 [samples] at 16 kHz."""
    if tiny:
        from rba.testing.tiny_utterances import tiny_wave

        return tiny_wave(0, seconds)
    from rba.speech.engine import load_engine
    from rba.speech.speaker import SpeakerBank

    engine, voice = load_engine("hibari"), SpeakerBank().speakers("train")[0]
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE:
        parts.append(engine.say(SPOKEN[len(parts) % len(SPOKEN)][0], voice, seed=len(parts)))
    return np.concatenate(parts)[: int(seconds * SAMPLE_RATE)]
