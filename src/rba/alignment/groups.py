"""The unit of data: one instruction with all its voices, in an order that is a pure function of seed and epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rba.alignment.objectives.objective import Task
from rba.data import seeds
from rba.data.utterance import Utterance
from rba.lm.chat import response_ids


@dataclass(frozen=True)
class Group:
    """One instruction: its `text`, the teacher's answer `response` as token ids `reference`, and its utterances' ids.

    `reference` ends with the end token if it is `finished`: not cut at the longest length trained on. `topic` and
    `difficulty` are empty where the data has none; `speakers` are by utterance.
    """

    id: str
    text: str
    response: str
    reference: tuple[int, ...]
    utterances: tuple[str, ...]
    finished: bool = True
    topic: str = ""
    difficulty: str = ""
    speakers: Mapping[str, str] = field(default_factory=dict, hash=False)

    def task(self) -> Task:
        """What an objective sees, before there are self-samples."""
        return Task(self.utterances, self.reference, self.response, text=self.text, finished=self.finished)


def make_groups(
    utterances: Sequence[Utterance], split: str, tokenizer: Any, end_id: int, max_response: int
) -> tuple[list[Group], dict[str, int]]:
    """The instructions of a split, by id, and counts: those kept, answers cut, those left out for want of an answer."""
    voices: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        if utterance.split == split:
            voices.setdefault(utterance.instruction_id, []).append(utterance)
    groups, counts = [], Counter(instructions=0, utterances=0, cut_answers=0, without_answer=0)
    for key in sorted(voices):
        spoken = sorted(voices[key], key=lambda u: (u.voice, u.id))
        answer = spoken[0].response.strip()
        if not answer:
            counts["without_answer"] += 1
            continue
        ids = response_ids(tokenizer, answer, end_id)
        counts["cut_answers"] += len(ids) > max_response
        counts["instructions"] += 1
        counts["utterances"] += len(spoken)
        cut, speakers = tuple(ids[:max_response]), {u.id: u.speaker for u in spoken}
        facts = (len(ids) <= max_response, spoken[0].topic, spoken[0].difficulty, speakers)
        groups.append(Group(key, spoken[0].text, answer, cut, tuple(speakers), *facts))
    return groups, dict(counts)


def columns(asked: Sequence[tuple[Group, str]]) -> dict[str, list[str]]:
    """What a reward is told of answers beside their texts: by name, one value for each (instruction, utterance) asked.

    Where the request was typed the utterance is no part of the group, and `utterance` and `speaker` are empty.
    """
    return {
        "reference": [group.response for group, _ in asked],
        "instruction_id": [group.id for group, _ in asked],
        "utterance": [name if name in group.utterances else "" for group, name in asked],
        "speaker": [group.speakers.get(name, "") for group, name in asked],
        "topic": [group.topic for group, _ in asked],
        "difficulty": [group.difficulty for group, _ in asked],
    }


def plan(groups: Sequence[Group], per_step: int, steps: int, seed: int) -> list[list[Group]]:
    """The instructions of every update: passes over all of them, each pass in an order of its own."""
    if not groups:
        return [[] for _ in range(steps)]
    line: list[Group] = []
    epoch = 0
    while len(line) < per_step * steps:
        line += [groups[i] for i in seeds.rng(seed, "order", epoch).permutation(len(groups))]
        epoch += 1
    return [line[i * per_step : (i + 1) * per_step] for i in range(steps)]


def without(groups: Sequence[Group], lost: Mapping[str, str]) -> list[Group]:
    """The groups without the utterances in `lost`; one that loses them all goes too."""
    kept = (replace(g, utterances=tuple(u for u in g.utterances if u not in lost)) for g in groups)
    return [group for group in kept if group.utterances]


def limited(groups: Sequence[Group], instructions: int, voices: int) -> list[Group]:
    """The first `instructions` groups with the first `voices` utterances of each; 0: all of them."""
    chosen = groups[: instructions or None]
    return [replace(group, utterances=group.utterances[: voices or None]) for group in chosen]
