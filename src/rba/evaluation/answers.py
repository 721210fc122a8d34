"""Answers: what a SpeechLM says to speech, to typed words and to a recogniser's words, and what the teacher said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rba.data.seeds import derive
from rba.data.utterance import Utterance
from rba.lm.preamble import System
from rba.lm.sampling import Sampling

if TYPE_CHECKING:
    import torch

    from rba.models.speechlm import SpeechLM

READ = -1
"""The voice of an answer to typed words."""


@dataclass(frozen=True)
class Answer:
    """What `model` answered to one utterance, or to the instruction's text (`utterance_id` "", voice -1).

    `tokens` counts the end token; `finished` says that the model ended by itself; `heard` is the transcript that the
    connector or the recogniser read off the speech, None where nothing was transcribed.
    """

    model: str
    utterance_id: str
    instruction_id: str
    voice: int
    text: str
    tokens: int
    finished: bool
    heard: str | None


def answer_speech(
    speechlm: SpeechLM,
    model: str,
    utterances: Sequence[Utterance],
    features: Sequence[torch.Tensor],
    sampling: Sampling,
    seed: int,
    batch: int,
    systems: Sequence[System] = (),
) -> list[Answer]:
    """The SpeechLM's answers to spoken utterances, from their encoder features [T, F].

    `systems` gives each utterance what stands before and around it; without them the model's task, else the template's
    own turn, stands.
    """

    def listen(rows: Sequence[Any], system: System) -> list[tuple[Any, str | None]]:
        prompts, heard = speechlm.listen(rows, system)
        words: Sequence[str | None] = heard or [None] * len(prompts)
        return list(zip(prompts, words))

    pairs = _by_system(listen, features, systems)
    prompts, heard = [prompt for prompt, _ in pairs], [words for _, words in pairs]
    return _generate(speechlm, model, utterances, prompts, heard, sampling, seed, batch)


def answer_typed(
    speechlm: SpeechLM,
    model: str,
    utterances: Sequence[Utterance],
    texts: Sequence[str],
    sampling: Sampling,
    seed: int,
    batch: int,
    systems: Sequence[System] = (),
) -> list[Answer]:
    """The answers of the SpeechLM's own LLM to `texts`, one for each utterance: typed, or what a recogniser heard."""
    prompts = _by_system(speechlm.text_prompts, texts, systems)
    return _generate(speechlm, model, utterances, prompts, None, sampling, seed, batch)


def read(model: str, utterance: Utterance, text: str, tokens: int, finished: bool = True) -> Answer:
    """An answer to the instruction's text rather than to one voice."""
    return Answer(model, "", utterance.instruction_id, READ, text, tokens, finished, None)


def _by_system(call: Callable[..., Sequence[Any]], rows: Sequence[Any], systems: Sequence[System]) -> list[Any]:
    """`call(rows, system)` over runs of rows with the same system turn; "" is the template's own."""
    found: list[Any] = []
    for system, run in groupby(range(len(rows)), key=lambda i: systems[i] if systems else ""):
        found += call([rows[i] for i in run], system or None)
    return found


def _generate(
    speechlm: SpeechLM,
    model: str,
    utterances: Sequence[Utterance],
    prompts: Sequence[Any],
    heard: Sequence[str | None] | None,
    sampling: Sampling,
    seed: int,
    batch: int,
) -> list[Answer]:
    """One answer per prompt. Seeds depend on the utterance alone: every model meets the same luck."""
    from rba.lm.generation import generate

    seeds = [derive(seed, "answer", u.id) for u in utterances]
    completions = [group[0] for group in generate(speechlm.lm, prompts, sampling, seeds, batch_size=batch)]
    words: Sequence[str | None] = heard or [None] * len(utterances)
    return [
        Answer(model, u.id, u.instruction_id, u.voice, c.text, len(c.ids), c.finished, h)
        for u, c, h in zip(utterances, completions, words)
    ]
