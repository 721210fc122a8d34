"""What the alignment tests share: a tiny SpeechLM that hears, spoken instructions, small settings, a fixed reward."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from rba.alignment.bank import PromptBank, build_bank
from rba.alignment.groups import Group, make_groups, plan
from rba.alignment.objectives.objective import Request, Role, Sample, Scored, Task, load_objective
from rba.alignment.settings import AdaptiveSettings, AlignSettings, LoraSettings, ValidationSettings
from rba.alignment.trainer import Trainer
from rba.lm.sampling import Sampling
from rba.models.adapters import add_lora
from rba.models.compact import CompactSpeechLM
from rba.models.full import add_full
from rba.testing.tiny_speechlm import tiny_speechlm
from rba.testing.tiny_utterances import tiny_utterances

SMALL = AlignSettings(
    steps=4,
    groups_per_step=2,
    lr=1e-2,
    dtype="float32",
    sample=Sampling(max_new_tokens=8),
    max_response=16,
    lora=LoraSettings(rank=4, alpha=8),
    validation=ValidationSettings(every=0, groups=2, by="likelihood"),
    adaptive=AdaptiveSettings(drift_every=0),
)


def variety(prompts: Sequence[str], completions: Sequence[str], ids: Any = None, **columns: Any) -> list[float]:
    """A reward that any babble has, and in different amounts: the share of different characters."""
    return [len(set(text)) / 8 for text in completions]


def scored(voice: int, role: Role, logp: Sequence[float], ref: Sequence[float] | None = None) -> Scored:
    """A scored answer with given log-probs, its ids made up from them."""
    ids = tuple(range(10, 10 + len(logp)))
    reference = None if ref is None else torch.tensor(ref, dtype=torch.float64)
    return Scored(Request(voice, ids, role), torch.tensor(logp, dtype=torch.float64, requires_grad=True), reference)


def own(number: int, logp: Sequence[float], *, voice: int | None = None, **parts: Any) -> Scored:
    """Own answer number `number`, by default that of the voice of the same number, with lists as further parts."""
    found = scored(number if voice is None else voice, "own", logp)
    tensors = {k: torch.tensor(v, dtype=torch.float64) if isinstance(v, list) else v for k, v in parts.items()}
    return replace(found, request=replace(found.request, sample=number), **tensors)


def sample(voice: int, text: str, reward: float | None = None) -> Sample:
    """A finished self-sample of voice number `voice`."""
    return Sample(f"u{voice}", tuple(text.encode()), text, True, (), reward)


def task(samples: Sequence[Sample] = (), voices: int = 4, response: str = "yes") -> Task:
    """An instruction with the teacher's answer "yes"."""
    return Task(tuple(f"u{v}" for v in range(voices)), tuple(response.encode()), response, tuple(samples))


class FixedRollouts:
    """Stands in for `Rollouts`: the same given self-samples at every update."""

    def __init__(self, plan: Sequence[Sequence[Group]], samples: dict[str, Sample]):
        self.plan, self.by_id = plan, samples
        self.samples, self.dropped = list(samples.values()), dict[str, dict[str, int]]()

    def tasks(self, step: int) -> tuple[list[Task], bool]:
        tasks = [group.task() for group in self.plan[step]]
        return [replace(t, samples=tuple(self.by_id[u] for u in t.utterances)) for t in tasks], False


@pytest.fixture
def small() -> AlignSettings:
    """Settings for the tiny model: float32, few tokens, no validation, no drift."""
    return SMALL


@pytest.fixture
def speechlm() -> CompactSpeechLM:
    """A fresh tiny SpeechLM."""
    return tiny_speechlm()


class Bench:
    """A tiny SpeechLM with spoken instructions, ready to train: `trainer(method, ...)` makes a Trainer on it."""

    def __init__(self, folder: Path, instructions: int = 2, voices: int = 3):
        self.folder, self.records = folder, list[dict[str, Any]]()
        self.speechlm = tiny_speechlm()
        self.utterances = tiny_utterances(instructions, voices)
        lm = self.speechlm.lm
        self.groups, self.counts = make_groups(self.utterances, "train", lm.tokenizer, lm.end_ids[0], 16)
        self.bank, self.lost = build_bank(self.speechlm, self.utterances, keep_features=False)

    def samples(
        self, texts: Sequence[str] = ("no", "an apple?", "la"), rewards: Sequence[float | None] = (0.0, 1.0, 0.5)
    ):
        """Self-samples by utterance: voice v of every instruction says `texts[v]`, worth `rewards[v]`."""
        end, encode = self.speechlm.lm.end_ids[0], self.speechlm.lm.tokenizer
        found = {}
        for group in self.groups:
            for utterance, text, reward in zip(group.utterances, texts, rewards):
                ids = (*encode(text, add_special_tokens=False)["input_ids"], end)
                found[utterance] = Sample(utterance, ids, text, True, (), reward)
        return found

    def trainer(
        self, method: str, settings: AlignSettings = SMALL, bank: PromptBank | None = None, **parts: Any
    ) -> Trainer:
        if settings.tuning == "full":
            add_full(self.speechlm)
        elif settings.lora.rank:
            add_lora(self.speechlm, settings.lora.rank, settings.lora.alpha, settings.lora.dropout, seed=1)
        steps = plan(self.groups, settings.groups_per_step, settings.steps, 7)
        objective = load_objective(method, settings)
        rollouts = parts.pop("rollouts", FixedRollouts(steps, self.samples()) if objective.needs_samples else None)
        defaults: dict[str, Any] = {"validator": None, "probe": None, "folder": self.folder, "seed": 7}
        defaults["log"] = self.records.append
        return Trainer(
            self.speechlm,
            objective,
            steps,
            bank or self.bank,
            settings,
            rollouts=rollouts,
            **{**defaults, **parts},
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two instructions in three voices."""
    return Bench(tmp_path / "state")


@pytest.fixture
def benches(tmp_path: Path) -> Callable[..., Bench]:
    """`benches(instructions, voices)`: as many fresh ones as a test wants."""
    made = iter(range(100))
    return lambda *size: Bench(tmp_path / f"state-{next(made)}", *size)


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Where so many processes have worked by `together`: 0 is a plain one, 1 a launcher's only one."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    places = {count: shared / f"place-{count}" for count in (0, 1, 2)}
    with FileLock(shared / "places.lock"):  # one worker makes them, the others wait
        if not (made := shared / "places.made").exists():
            _work_in(places)
            made.touch()
    return places


def _work_in(places: dict[int, Path]) -> None:
    from forked import ended, fork_ranks

    from . import together
    from .launched import launch, one_thread

    for place in places.values():
        place.mkdir(exist_ok=True)
    for name, case in together.BEGUN_ALONE.items():
        with one_thread(), together.cut_short():
            together.train(places[2] / name, case)
    one, said = launch(1, places[1]), places[2] / "said.txt"
    two = fork_ranks(together.main, places[2], count=2, said=said)
    with one_thread():
        for case in together.CASES:
            together.train(places[0] / "whole", case)
    heard, _ = one.communicate(timeout=600)
    assert one.returncode == 0, heard[-4000:]
    assert ended(two) == [0, 0], said.read_text()[-4000:]
