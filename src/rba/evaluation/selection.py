"""Which utterances are evaluated: a fixed draw of test instructions, and the first voices of each."""

from __future__ import annotations

from collections.abc import Sequence

from rba.data.seeds import derive
from rba.data.utterance import Utterance
from rba.errors import DataError

TEST = "test"


def held_out(utterances: Sequence[Utterance], instructions: int, voices: int, seed: int) -> list[Utterance]:
    """The test utterances to evaluate, by instruction and voice.

    At most `instructions` instructions (0: all), drawn by hash so that a larger number keeps what a smaller one chose,
    and of each the `voices` lowest voices. Raises DataError where the data hold no test utterance.
    """
    by_instruction: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        if utterance.split == TEST:
            by_instruction.setdefault(utterance.instruction_id, []).append(utterance)
    if not by_instruction:
        fix = "give synthesis.test a number above 0 and run synthesize and speak again"
        raise DataError("there are no test utterances to evaluate on", "speech", fix)
    order = sorted(by_instruction, key=lambda i: derive(seed, "evaluation", i))
    chosen = sorted(order[: instructions or None])
    return [u for i in chosen for u in sorted(by_instruction[i], key=lambda u: u.voice)[:voices]]


def first_voices(utterances: Sequence[Utterance]) -> list[Utterance]:
    """One utterance per instruction, the first: carries the text for models that read."""
    found: dict[str, Utterance] = {}
    for utterance in utterances:
        found.setdefault(utterance.instruction_id, utterance)
    return list(found.values())
