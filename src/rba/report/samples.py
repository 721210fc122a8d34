"""The samples of the page: requests spread over topics, each voice with its audio and every model's answer."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rba.data import audio, seeds
from rba.data.instruction import Instruction
from rba.errors import AudioError
from rba.evaluation.answers import Answer
from rba.report import clips, names
from rba.report.acoustics import in_words
from rba.report.source import Source, Spoken, audio_of
from rba.workspace import Workspace

MAX_LISTED = 120
MAX_CLIPS = 96
MAX_AUDIO_CHARS = 4_200_000
MAX_TEXT_CHARS = 1_200_000
"""Together with figures and tables these keep the page below 6 MB."""


@dataclass(frozen=True)
class Clip:
    """An utterance's audio for the page: a data URI and its loudness outline."""

    uri: str
    peaks: str


def choose(source: Source) -> list[tuple[Instruction, list[Spoken]]]:
    """Held-out requests with their utterances, those that models answered first, taking the topics in turn.

    The order depends on nothing but the ids, so that the same run always shows the same samples.
    """
    spoken: dict[str, list[Spoken]] = {}
    for utterance in source.utterances:
        spoken.setdefault(utterance.instruction_id, []).append(utterance)
    split = next((s for s in ("test", "validation", "train") if any(i.split == s for i in source.instructions)), "")
    pool = [i for i in source.instructions if i.split == split and i.id in spoken]
    answered = {i.id for i in pool if any(u.id in source.answers for u in spoken[i.id]) or i.id in source.answers}
    if answered:
        pool = [i for i in pool if i.id in answered]
    pool.sort(key=lambda i: seeds.derive("report", i.id))
    taken = list(_in_turn(pool))[:MAX_LISTED]
    return [(i, sorted(spoken[i.id], key=lambda u: u.voice)) for i in taken]


def _in_turn(pool: Sequence[Instruction]) -> Iterable[Instruction]:
    topics: dict[str, list[Instruction]] = {}
    for instruction in pool:
        topics.setdefault(instruction.topic, []).append(instruction)
    queues = [topics[name] for name in sorted(topics)]
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def build(source: Source, workspace: Workspace) -> list[dict[str, Any]]:
    """The samples as plain data for the page's script; audio as long as the budgets last."""
    chosen = choose(source)
    wanted = [u for _, utterances in chosen for u in utterances][:MAX_CLIPS]
    made = _clips([u.id for u in wanted], workspace)
    samples, text_left, audio_left = [], MAX_TEXT_CHARS, MAX_AUDIO_CHARS
    for instruction, utterances in chosen:
        sample = _sample(instruction, utterances, source)
        text_left -= len(json.dumps(sample))
        if text_left < 0:
            break
        for voice, utterance in zip(sample["voices"], utterances):
            clip = made.get(utterance.id)
            if clip and audio_left >= len(clip.uri):
                audio_left -= len(clip.uri)
                voice["audio"], voice["peaks"] = clip.uri, clip.peaks
        samples.append(sample)
    return samples


def _clips(ids: Sequence[str], workspace: Workspace) -> dict[str, Clip]:
    """Clips by utterance id; one that cannot be decoded is left out. They are made by several threads."""
    stored = audio_of(workspace, ids)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        made = list(pool.map(_clip, (stored[i] for i in ids if i in stored)))
    return {i: clip for i, clip in zip((i for i in ids if i in stored), made) if clip}


def _clip(data: bytes) -> Clip | None:
    try:
        wave = audio.decode(data)
    except AudioError:
        return None
    return Clip(clips.data_uri(clips.opus(wave)), clips.peaks(wave))


def _sample(instruction: Instruction, utterances: Sequence[Spoken], source: Source) -> dict[str, Any]:
    read = source.answers.get(instruction.id, {})
    teacher = read["teacher"].text if "teacher" in read else ""
    return {
        "text": instruction.text,
        "topic": instruction.topic,
        "difficulty": instruction.difficulty,
        "teacher": instruction.response or teacher,
        "voices": [_voice(u, {**read, **source.answers.get(u.id, {})}) for u in utterances],
    }


def _voice(utterance: Spoken, answers: dict[str, Answer]) -> dict[str, Any]:
    shown = sorted((m for m in answers if m not in ("teacher", "teacher-again")), key=names.model_order)
    heard = next((h for m in shown if m not in names.REFERENCES and (h := answers[m].heard)), "")
    return {
        "voice": utterance.voice,
        "speaker": utterance.speaker,
        "seconds": round(utterance.duration, 1),
        "acoustics": in_words(utterance.acoustics),
        "heard": heard,
        "answers": [_answer(answers[model], heard) for model in shown],
    }


def _answer(answer: Answer, heard: str) -> list[str]:
    """Name, colour and text; and what this model heard, where it is not what the connector did."""
    own = answer.heard if answer.heard and _spelled(answer.heard) != _spelled(heard) else ""
    return [names.model_name(answer.model), names.model_class(answer.model), answer.text, own]


def _spelled(text: str) -> list[str]:
    """The words of a text without case and punctuation: recognisers differ in both."""
    return re.findall(r"[\w']+", text.lower())
