"""Self-samples: the model's own answers to the spoken instructions, fresh once, each round or each update.

A round is a run of updates that share self-samples: all of them ("once": drawn from the initial model), `round_steps`
of them, or a single one ("online"). An answer depends on the policy, the utterance, the round and its number among the
answers to that utterance, not on the method.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from rba import parallel, runtime
from rba.alignment.bank import PromptBank
from rba.alignment.groups import Group, columns
from rba.alignment.objectives.objective import Sample, Task
from rba.alignment.sampler import Draw, LocalSampler, Sampler
from rba.alignment.settings import AlignSettings
from rba.data import seeds, shards
from rba.errors import ModelError
from rba.lm.scorer import precision, score
from rba.models.adapters import reference
from rba.models.speechlm import SpeechLM
from rba.progress import progress

SHARD = 32
MARK = 16
"""Letters of a reward's mark in the names of files."""

Reward = Callable[..., Sequence[float | None]]


@dataclass(frozen=True)
class Drawn:
    """One self-sample as it is kept on disk; `ids` and `logprobs` are lists of equal length, and so is `old`, if asked.

    `logprobs` are those that it was drawn with, `old` those that scoring gives under the policy that drew it.
    `utterance_id` is the instruction's id where the request was typed; `member` numbers the answers to it.
    """

    utterance_id: str
    instruction_id: str
    round: int
    member: int
    text: str
    ids: list[int]
    logprobs: list[float]
    finished: bool
    old: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Valued:
    """The reward of a kept self-sample and of its `parts`, by name; None where there is none, and `dropped` why."""

    utterance_id: str
    member: int
    reward: float | None
    names: list[str]
    parts: list[float | None]
    dropped: list[str]


def round_length(settings: AlignSettings) -> int:
    """The updates of a round of self-samples."""
    return {"once": settings.steps, "per_round": settings.round_steps, "online": 1}[settings.refresh]


def round_of(step: int, settings: AlignSettings) -> int:
    """The round that an update belongs to."""
    return step // round_length(settings)


def begins_round(step: int, settings: AlignSettings) -> bool:
    """Whether an update is the first of its round."""
    return step == 0 or round_of(step, settings) != round_of(step - 1, settings)


class Rollouts:
    """Hands out tasks with self-samples for every update of a plan; `reward` is None for objectives without.

    Every voice has `align.answers` answers; with `typed`, the typed request has as many as all voices together. With
    `old`, answers that will be trained on by a later policy are scored under the one that drew them, too. Answers
    of a round are kept in `folder` (not of online rounds, which are cheap to draw again): a restart finds them there,
    and so do other methods, where all of them come from the initial model and share the folder; their rewards,
    in files of their own, are told apart by `mark`. `bare` says that the initial model has no adapter of its own. The
    model in memory draws, unless another `sampler` is given.

    A reward that gives no number to any of the first answers (`SHARD` or more) ends the training with ModelError: there
    is nothing to learn from. Rewards of which none is a number are not kept, so that a mended one is asked again.
    `dropped` counts by round why answers have no reward, whoever had asked for it.

    Processes that work together divide the drawing; the leader alone keeps answers and rewards them, all at once.
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
        sampler: Sampler | None = None,
        bare: bool = True,
        typed: bool = False,
        mark: str = "",
        old: bool = False,
    ):
        self.speechlm, self.bank, self.plan, self.settings = speechlm, bank, plan, settings
        self.reward, self.folder, self.seed, self.bare = reward, folder, seed, bare
        self.typed, self.mark = typed, mark
        self.old = old and settings.refresh != "online"
        self.sampler = sampler or LocalSampler(speechlm, settings)
        self._round, self._samples = -1, dict[str, list[Sample]]()
        self.dropped: dict[str, dict[str, int]] = {}
        self._in_vain: int | None = 0  # answers so far as long as none has a reward; None once one has

    def tasks(self, step: int) -> tuple[list[Task], bool]:
        """The tasks of update `step`, and whether their self-samples begin a new round."""
        number = round_of(step, self.settings)
        if number != self._round:
            self._round, self._samples = number, self._draw_round(number)
            self._check_rewarded()
        # not whether they were drawn just now: a resumed run draws again what a round had before it was stopped
        return [self._task(group) for group in self.plan[step]], begins_round(step, self.settings)

    def _task(self, group: Group) -> Task:
        spoken = tuple(sample for name in group.utterances for sample in self._samples[name])
        return replace(group.task(), samples=spoken, typed=tuple(self._samples.get(group.id, ())))

    @property
    def samples(self) -> list[Sample]:
        """The self-samples of the current round."""
        return [sample for samples in self._samples.values() for sample in samples]

    def all_dropped(self) -> dict[str, int]:
        """Why answers have no reward, over all rounds: counts by reason."""
        return dict(sum((Counter(counts) for counts in self.dropped.values()), Counter[str]()))

    def _check_rewarded(self) -> None:
        """Raise ModelError where no answer has had a reward for long enough, or to the end of the plan."""
        if self.reward is None or self._in_vain is None:
            return
        if any(sample.reward is not None for sample in self.samples):
            self._in_vain = None
            return
        self._in_vain += len(self.samples)
        if self._in_vain >= SHARD or self._round == round_of(len(self.plan) - 1, self.settings):
            why = ", ".join(f"{reason} ({count})" for reason, count in self.all_dropped().items())
            fix = "mend the reward or name another, then run the same command again"
            raise ModelError(
                f"none of {self._in_vain} answers has a reward", why or f"align.reward {self.settings.reward}", fix
            )

    def _draw_round(self, number: int) -> dict[str, list[Sample]]:
        """All answers of a round, shard by shard."""
        steps = [s for s in range(len(self.plan)) if round_of(s, self.settings) == number]
        groups = list({group.id: group for step in steps for group in self.plan[step]}.values())
        online = self.settings.refresh == "online"
        size = len(groups) if online else SHARD  # what is kept is kept piece by piece
        pieces = [groups[i : i + size] for i in range(0, len(groups), size)]
        samples: dict[str, list[Sample]] = {}
        dropped: Counter[str] = Counter()
        kinds = (False, True) if self.typed else (False,)
        total = len(kinds) * self.settings.answers * sum(len(group.utterances) for group in groups)
        with nullcontext() if online else progress("own answers", total) as bar:
            for index, piece in enumerate(pieces):
                for typed in kinds:
                    name = f"{'typed-' if typed else ''}round-{number:05d}-{index:05d}.parquet"
                    place = self.folder / name
                    drawn = self._draw(piece, number, typed) if online else self._kept(place, piece, number, typed)
                    rewards = parallel.told(self._valued(place, piece, drawn, keep=not online))
                    for row in drawn:
                        value = rewards.get((row.utterance_id, row.member))
                        samples.setdefault(row.utterance_id, []).append(_sample(row, value))
                        dropped.update(value.dropped if value else ())
                    if bar:
                        bar.advance(len(drawn))
                        runtime.give_back()
        self.dropped |= {str(number): dict(dropped)} if dropped else {}
        return samples

    def _kept(self, place: Path, groups: Sequence[Group], number: int, typed: bool) -> list[Drawn]:
        drawn = parallel.told(shards.read(place, Drawn) if parallel.world().leads and place.is_file() else [])
        if drawn and (drawn[0].old or not self.old):
            return drawn
        drawn = drawn or self._draw(groups, number, typed)
        drawn = self._scored(groups, drawn, number, typed) if self.old else drawn
        if parallel.world().leads:
            shards.write(place, drawn, Drawn)
        return drawn

    def _scored(self, groups: Sequence[Group], drawn: Sequence[Drawn], number: int, typed: bool) -> list[Drawn]:
        """The same with what scoring says of them, of all processes together, while the policy is the one that drew."""
        world, as_initial, lm = parallel.world(), number == 0 and self.bare, self.speechlm.lm
        mine = drawn[world.rank :: world.size]
        with (
            torch.no_grad(),
            reference(self.speechlm) if as_initial else nullcontext(),
            lm.weights.in_step(),
            precision(lm, self.settings.dtype),
        ):
            names = list(dict.fromkeys(row.utterance_id for row in mine))
            prompts = dict(zip(names, self._prompts(groups, names, typed, as_initial))) if names else {}
            asked, ids = [prompts[row.utterance_id] for row in mine], [row.ids for row in mine]
            own = [row.tolist() for row in score(lm, asked, ids, self.settings.batch_tokens)]
        parts = parallel.gathered(own)
        return [replace(row, old=parts[i % world.size][i // world.size]) for i, row in enumerate(drawn)]

    def _prompts(
        self, groups: Sequence[Group], names: Sequence[str], typed: bool, as_initial: bool
    ) -> Sequence[torch.Tensor]:
        """What is answered: the typed requests of instructions, or utterances."""
        if not typed:
            return self.bank.initial(names) if as_initial else self.bank.current(names)
        texts = {group.id: group.text for group in groups}
        return self.speechlm.text_prompts([texts[name] for name in names])

    def _draw(self, groups: Sequence[Group], number: int, typed: bool = False) -> list[Drawn]:
        """The answers to every utterance, or to every typed request, drawn by all processes together."""
        world, as_initial = parallel.world(), number == 0 and self.bare
        with self.sampler.now(as_initial) as draw, self.speechlm.lm.weights.in_step():
            mine = self._draw_part(draw, groups[world.rank :: world.size], number, typed, as_initial)
        parts = parallel.gathered(mine)
        if world.size == 1:
            return parts[0]
        order = sorted(groups, key=lambda group: len(group.utterances)) if typed else groups
        place = {group.id: i for i, group in enumerate(order)}
        return sorted((row for part in parts for row in part), key=lambda row: place[row.instruction_id])

    def _draw_part(
        self, draw: Draw, groups: Sequence[Group], number: int, typed: bool, as_initial: bool
    ) -> list[Drawn]:
        """The same from this process alone."""
        if not groups:
            return []
        if not typed:
            spoken = [(group, name) for group in groups for name in group.utterances]
            names = [name for _, name in spoken]
            prompts = self._prompts(groups, names, typed, as_initial)
            return self._answers(draw, spoken, prompts, number, self.settings.answers)
        drawn = []
        for voices in sorted({len(group.utterances) for group in groups}):
            asked = [(group, group.id) for group in groups if len(group.utterances) == voices]
            prompts = self._prompts(groups, [name for _, name in asked], typed, as_initial)
            drawn += self._answers(draw, asked, prompts, number, voices * self.settings.answers)
        return drawn

    def _answers(
        self, draw: Draw, asked: Sequence[tuple[Group, str]], prompts: Sequence[torch.Tensor], number: int, count: int
    ) -> list[Drawn]:
        marks = [
            seeds.derive(self.seed, "rollout", number, name, *((member,) if member else ()))
            for _, name in asked
            for member in range(count)
        ]
        return [
            Drawn(name, group.id, number, member, a.text, a.ids, a.logprobs, a.finished)
            for (group, name), row in zip(asked, draw(prompts, marks, count))
            for member, a in enumerate(row)
        ]

    def _valued(
        self, place: Path, groups: Sequence[Group], drawn: Sequence[Drawn], keep: bool
    ) -> dict[tuple[str, int], Valued]:
        """The reward of every answer, of the leader's making, and kept if asked; nothing where none is needed."""
        if self.reward is None or not parallel.world().leads:
            return {}
        if not keep:
            return self._rewards(groups, drawn)
        place = place.with_name(f"rewards-{self.mark}{place.name}")
        if not place.is_file():
            found = self._rewards(groups, drawn)
            if all(row.reward is None for row in found.values()):
                return found
            shards.write(place, list(found.values()), Valued)
        return {(row.utterance_id, row.member): row for row in shards.read(place, Valued)}

    def _rewards(self, groups: Sequence[Group], drawn: Sequence[Drawn]) -> dict[tuple[str, int], Valued]:
        assert self.reward is not None
        by_id = {group.id: group for group in groups}
        asked = [(by_id[row.instruction_id], row.utterance_id) for row in drawn]
        values = self.reward(
            [group.text for group, _ in asked],
            [row.text for row in drawn],
            [row.ids for row in drawn],
            **columns(asked),
        )
        parts: dict[str, list[float | None]] = getattr(self.reward, "parts_values", {})
        reasons: list[list[str]] = getattr(self.reward, "reasons", [[] for _ in drawn])
        return {
            (row.utterance_id, row.member): Valued(
                row.utterance_id, row.member, value, list(parts), [part[i] for part in parts.values()], reasons[i]
            )
            for i, (row, value) in enumerate(zip(drawn, values))
        }


def _sample(row: Drawn, valued: Valued | None) -> Sample:
    sample = Sample(row.utterance_id, tuple(row.ids), row.text, row.finished, tuple(row.logprobs), old=tuple(row.old))
    return replace(sample, reward=valued.reward, parts=tuple(zip(valued.names, valued.parts))) if valued else sample
