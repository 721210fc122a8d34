"""Self-samples: the model's own answers to the spoken instructions, one a voice, fresh once, each round or each update.

A round is a run of updates that share self-samples: all of them ("once": drawn from the initial model), `round_steps`
of them, or a single one ("online"). An answer depends on the policy, the utterance and the round, not on the method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rba.alignment.bank import PromptBank
from rba.alignment.groups import Group
from rba.alignment.objectives.objective import Sample, Task
from rba.alignment.settings import AlignSettings
from rba.data import seeds, shards
from rba.lm.generation import generate
from rba.models.adapters import reference
from rba.models.speechlm import SpeechLM
from rba.progress import progress

SHARD = 32

Reward = Callable[..., Sequence[float | None]]


@dataclass(frozen=True)
class Drawn:
    """One self-sample as it is kept on disk; `ids` and `logprobs` are lists of equal length."""

    utterance_id: str
    instruction_id: str
    round: int
    text: str
    ids: list[int]
    logprobs: list[float]
    finished: bool


@dataclass(frozen=True)
class Valued:
    """The reward of a kept self-sample and of its `parts`, by name; None where there is none."""

    utterance_id: str
    reward: float | None
    names: list[str]
    parts: list[float | None]


def round_of(step: int, settings: AlignSettings) -> int:
    """The round that an update belongs to."""
    if settings.refresh == "online":
        return step
    return step // settings.round_steps if settings.refresh == "per_round" else 0


class Rollouts:
    """Hands out tasks with self-samples for every update of a plan; `reward` is None for objectives without.

    Answers of a round are kept in `folder` (not of online rounds, which are cheap to draw again): a restart finds them
    there, and so do other methods, where all of them come from the initial model and share the folder. `bare` says that
    the initial model has no adapter of its own.
    """

    def __init__(
        self,
        speechlm: SpeechLM,
        bank: PromptBank,
        plan: Sequence[Sequence[Group]],
        settings: AlignSettings,
        reward: Reward | None,
        folder: Path,
        seed: int,
        bare: bool = True,
    ):
        self.speechlm, self.bank, self.plan, self.settings = speechlm, bank, plan, settings
        self.reward, self.folder, self.seed, self.bare = reward, folder, seed, bare
        self._round, self._samples = -1, dict[str, Sample]()

    def tasks(self, step: int) -> tuple[list[Task], bool]:
        """The tasks of update `step`, and whether their self-samples begin a new round."""
        number = round_of(step, self.settings)
        fresh = number != self._round
        if fresh:
            self._round, self._samples = number, self._draw_round(number)
        tasks = [group.task() for group in self.plan[step]]
        return [replace(t, samples=tuple(self._samples[u] for u in t.utterances)) for t in tasks], fresh

    @property
    def samples(self) -> list[Sample]:
        """The self-samples of the current round."""
        return list(self._samples.values())

    def _draw_round(self, number: int) -> dict[str, Sample]:
        """All answers of a round, shard by shard."""
        steps = [s for s in range(len(self.plan)) if round_of(s, self.settings) == number]
        groups = list({group.id: group for step in steps for group in self.plan[step]}.values())
        pieces = [groups[i : i + SHARD] for i in range(0, len(groups), SHARD)]
        samples: dict[str, Sample] = {}
        online = self.settings.refresh == "online"
        total = sum(len(group.utterances) for group in groups)
        with nullcontext() if online else progress("own answers", total) as bar:
            for index, piece in enumerate(pieces):
                place = self.folder / f"round-{number:05d}-{index:05d}.parquet"
                drawn = self._draw(piece, number) if online else self._kept(place, piece, number)
                rewards = self._rewards(piece, drawn) if online else self._kept_rewards(place, piece, drawn)
                for row in drawn:
                    samples[row.utterance_id] = _sample(row, rewards.get(row.utterance_id))
                if bar:
                    bar.advance(len(drawn))
        return samples

    def _kept(self, place: Path, groups: Sequence[Group], number: int) -> list[Drawn]:
        if not place.is_file():
            shards.write(place, self._draw(groups, number), Drawn)
        return shards.read(place, Drawn)

    def _draw(self, groups: Sequence[Group], number: int) -> list[Drawn]:
        """One answer to every utterance, from the policy as it is now."""
        spoken = [(group, utterance) for group in groups for utterance in group.utterances]
        names = [utterance for _, utterance in spoken]
        marks = [seeds.derive(self.seed, "rollout", number, name) for name in names]
        # before the first update a new adapter changes nothing: it is left out to save its work
        as_initial = number == 0 and self.bare
        with torch.no_grad(), reference(self.speechlm) if as_initial else nullcontext():
            prompts = self.bank.initial(names) if as_initial else self.bank.current(names)
            answers = generate(
                self.speechlm.lm, prompts, self.settings.sample, marks, batch_size=self.settings.rollout_batch
            )
        return [
            Drawn(name, group.id, number, a[0].text, a[0].ids, a[0].logprobs, a[0].finished)
            for (group, name), a in zip(spoken, answers)
        ]

    def _kept_rewards(self, place: Path, groups: Sequence[Group], drawn: Sequence[Drawn]) -> dict[str, Valued]:
        if self.reward is None:
            return {}
        place = place.with_name(f"rewards-{place.name}")
        if not place.is_file():
            shards.write(place, list(self._rewards(groups, drawn).values()), Valued)
        return {row.utterance_id: row for row in shards.read(place, Valued)}

    def _rewards(self, groups: Sequence[Group], drawn: Sequence[Drawn]) -> dict[str, Valued]:
        """The reward of every answer; nothing where the objective needs none."""
        if self.reward is None:
            return {}
        by_id = {group.id: group for group in groups}
        asked = [by_id[row.instruction_id] for row in drawn]
        values = self.reward(
            [group.text for group in asked],
            [row.text for row in drawn],
            [row.ids for row in drawn],
            reference=[group.response for group in asked],
        )
        parts: dict[str, list[float | None]] = getattr(self.reward, "parts_values", {})
        return {
            row.utterance_id: Valued(row.utterance_id, value, list(parts), [part[i] for part in parts.values()])
            for i, (row, value) in enumerate(zip(drawn, values))
        }


def _sample(row: Drawn, valued: Valued | None) -> Sample:
    sample = Sample(row.utterance_id, tuple(row.ids), row.text, row.finished, tuple(row.logprobs))
    return replace(sample, reward=valued.reward, parts=tuple(zip(valued.names, valued.parts))) if valued else sample
