"""One process of the speech stage: speaks one instruction at a time in all its voices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rba.data import audio
from rba.data.instruction import Instruction
from rba.data.utterance import Utterance
from rba.errors import AudioError
from rba.speech.bank import bank_of
from rba.speech.engine import Engine, load_engine
from rba.speech.gate import UNINTELLIGIBLE, Gate
from rba.speech.render import plan_utterance, render
from rba.speech.settings import SpeechSettings
from rba.speech.speaker import Speaker


@dataclass(frozen=True)
class Spoken:
    """An instruction's utterances, and (utterance id, reason) of those that were left out."""

    utterances: tuple[Utterance, ...]
    dropped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Worker:
    """Everything that speaking an instruction takes. Calling it is a pure function of the instruction."""

    settings: SpeechSettings
    seed: int
    engine: Engine
    gate: Gate | None

    def __call__(self, item: Instruction) -> Spoken:
        """All voices of one instruction."""
        bank = bank_of(self.settings)
        utterances: list[Utterance] = []
        dropped: list[tuple[str, str]] = []
        for voice, speaker in enumerate(bank.draw(item.split, self.settings.voices, self.seed, item.id)):
            try:
                spoken = self._utter(item, voice, speaker)
            except AudioError as error:
                dropped.append((f"{item.id}-{voice}", error.what))
                continue
            if spoken is None:
                dropped.append((f"{item.id}-{voice}", UNINTELLIGIBLE))
            else:
                utterances.append(spoken)
        return Spoken(tuple(utterances), tuple(dropped))

    def _utter(self, item: Instruction, voice: int, speaker: Speaker) -> Utterance | None:
        """One utterance, or None if the gate turns it down. Raises AudioError for text that cannot be spoken."""

        def plan(attempt: int):
            return plan_utterance(item.id, voice, speaker, self.settings.acoustics, self.seed, attempt)

        def wave_of(attempt: int) -> np.ndarray:
            chosen = plan(attempt)
            return render(self.engine, item.text, speaker, chosen.seed, chosen.acoustics)

        admitted = self.gate.admit(item.text, wave_of) if self.gate else (0, wave_of(0), None)
        if admitted is None:
            return None
        attempt, wave, error = admitted
        chosen = plan(attempt)
        return Utterance(
            id=f"{item.id}-{voice}",
            instruction_id=item.id,
            voice=voice,
            text=item.text,
            response=item.response,
            topic=item.topic,
            difficulty=item.difficulty,
            split=item.split,
            engine=self.settings.engine,
            speaker=speaker.id,
            seed=chosen.seed,
            acoustics=chosen.acoustics.to_json(),
            duration=wave.size / audio.SAMPLE_RATE,
            wer=error,
            audio=audio.encode(wave),
        )


def make_worker(settings: SpeechSettings, seed: int) -> Worker:
    """Load the engine and, if asked for, the gate's recogniser, which then runs on one thread of this process."""
    gate = None
    if settings.gate:
        from rba.speech.recogniser import load_recogniser

        gate = Gate(load_recogniser(settings.gate_asr, threads=1), settings.gate_wer, settings.gate_retries)
    return Worker(settings, seed, load_engine(settings.engine), gate)
