"""Loading a benchmark: its items, a seeded draw of them, and their speech."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from rba.data import audio
from rba.data.seeds import derive
from rba.data.utterance import Utterance
from rba.errors import DataError
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.needs import check
from rba.evaluation.benchmarks.settings import FORMATS, VOICEBENCH, BenchmarkSettings
from rba.evaluation.rendering import make_speech
from rba.lm.preamble import System
from rba.lm.sampling import Sampling
from rba.lm.task import NO_TASK, TaskSettings
from rba.speech.acoustics import Acoustics
from rba.speech.bank import bank_of
from rba.speech.engine import load_engine, prepare
from rba.speech.render import render
from rba.speech.settings import SpeechSettings

_LOADERS = {
    "manifest": "manifest:load",
    "llama-questions": "manifest:load",
    "web-questions": "manifest:load",
    "trivia-qa": "manifest:load",
    "squad": "squad:load",
    "alpaca-eval": "alpaca_eval:load",
    "ifeval": "ifeval:load",
    "voicebench": "voicebench:load",
    "librispeech": "librispeech:load",
    "covost2": "translation:load_covost2",
    "fleurs": "translation:load_fleurs",
    "must-c": "translation:load_must_c",
    "pairs": "translation:load_pairs",
}


SEEN = "its words occur in training"
NEAR = "training has a near duplicate"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark ready to be asked: `items` by the instruction id of their utterances (`<name>/<item id>`).

    `task` is that of the run, which a benchmark without a system turn of its own is asked under.
    """

    settings: BenchmarkSettings
    scorer: str
    items: dict[str, Item]
    utterances: list[Utterance]
    refused: dict[str, str]
    task: TaskSettings = NO_TASK

    @property
    def sampling(self) -> Sampling:
        """Answers are greedy."""
        return Sampling(0.0, 1.0, self.settings.max_new_tokens)

    @property
    def asks_otherwise(self) -> bool:
        """Whether it sets the run's task aside for a system turn of its own."""
        return bool(self.task.prompt and self.settings.system)

    def own_system(self, instruction_id: str) -> str:
        """The benchmark's system turn, then the item's own."""
        return "\n\n".join(filter(None, (self.settings.system, self.items[instruction_id].system)))

    def system(self, instruction_id: str) -> System:
        """What stands before and around an item: its own system turn, under the run's task unless that is set aside."""
        own = self.own_system(instruction_id)
        if self.asks_otherwise or not self.task.prompt:
            return own
        task = self.task.preamble
        return replace(task, system="\n\n".join(filter(None, (task.system, own))))


def loader(name: str) -> Callable[[BenchmarkSettings], Iterator[Item]]:
    """The function that reads a layout."""
    module, _, function = _LOADERS[name].partition(":")
    return getattr(import_module(f"rba.evaluation.benchmarks.formats.{module}"), function)


def scorer_name(settings: BenchmarkSettings) -> str:
    """Who scores a benchmark."""
    return settings.scorer or FORMATS[settings.format] or VOICEBENCH[settings.subset]


def chosen_items(settings: BenchmarkSettings, seed: int) -> list[Item]:
    """At most `settings.items` items, drawn by hash, so that a larger number keeps what a smaller one chose.

    Raises DataError where there are none, or two have the same id.
    """
    items: dict[str, Item] = {}
    for item in loader(settings.format)(settings):
        if item.id in items:
            where = f"benchmark {settings.name}, {items[item.id].where} and {item.where}"
            raise DataError(f"two items with the id {item.id}", where, "give each its own")
        items[item.id] = item
    if not items:
        raise DataError("a benchmark has no items", f"benchmark {settings.name}", "check source, subset and split")
    order = sorted(items, key=lambda name: derive(seed, "benchmark", settings.name, name))
    chosen = set(order[: settings.items or None])
    return [item for name, item in items.items() if name in chosen]


def load(
    settings: BenchmarkSettings,
    speech: SpeechSettings,
    folder: Path,
    seed: int,
    trained: Container[str] = (),
    task: TaskSettings = NO_TASK,
    related: Callable[[Sequence[str]], Container[str]] = lambda texts: (),
) -> Benchmark:
    """A benchmark with its speech; what must be spoken is said cleanly by test speakers with the recipe's engine.

    Speech is kept in `folder`. Items whose text is among the `trained` ones or, as `related` finds, near one are left
    out, and a line tells how many. `refused` tells why items were left out. Raises DataError where the data cannot be
    read, or lack what the scorer needs, and where no item is left.
    """
    scorer, chosen = scorer_name(settings), chosen_items(settings, seed)
    check(settings.name, scorer, chosen)
    items = {f"{settings.name}/{item.id}": item for item in chosen}
    near = related([item.text for item in chosen])
    seen = {name: SEEN for name, item in items.items() if item.text in trained}
    seen |= {name: NEAR for name, item in items.items() if item.text in near and name not in seen}
    items = {name: item for name, item in items.items() if name not in seen}
    if any(item.audio is None for item in items.values()):
        prepare(speech.engine)

    def make(pair: tuple[str, Item]) -> Utterance:
        return _given(*pair) if pair[1].audio is not None else _spoken(*pair, speech, seed)

    work = list(items.items())
    made, refused = make_speech(work, make, lambda pair: pair[0], folder, settings.name)
    refused |= seen
    if not made:
        reason, count = Counter(refused.values()).most_common(1)[0]
        what = f"none of the {len(refused)} items can be asked: {reason} ({count} of them)"
        fix = "raise its items, or take it out" if reason in (SEEN, NEAR) else "check its clips or texts"
        raise DataError(what, f"evaluate.benchmarks: {settings.name}", fix)
    if seen:
        told = f"{len(seen)} of {len(chosen)} items left out, their words occur in training"
        if count := list(seen.values()).count(NEAR):
            told += f", of {count} a near duplicate"
        print(f"rba: benchmark {settings.name}: {told}", file=sys.stderr, flush=True)
    return Benchmark(settings, scorer, items, made, refused, task)


def _given(name: str, item: Item) -> Utterance:
    wave = audio.decode(item.audio or b"", name)
    return _row(name, item, "", "", 0, Acoustics(), audio.encode(wave), wave.size)


def _spoken(name: str, item: Item, speech: SpeechSettings, seed: int) -> Utterance:
    voice = bank_of(speech).draw("test", 1, seed, name)[0]
    said, heard = derive("say", seed, name), Acoustics(lead=0.2, tail=0.3)
    wave = render(load_engine(speech.engine), item.text, voice, said, heard)
    return _row(name, item, speech.engine, voice.id, said, heard, audio.encode(wave), wave.size)


def _row(
    name: str, item: Item, engine: str, speaker: str, seed: int, heard: Acoustics, clip: bytes, samples: int
) -> Utterance:
    return Utterance(
        id=f"{name}-0",
        instruction_id=name,
        voice=0,
        text=item.text,
        response="",
        topic="",
        difficulty="",
        split="test",
        engine=engine,
        speaker=speaker,
        seed=seed,
        acoustics=heard.to_json(),
        duration=samples / audio.SAMPLE_RATE,
        wer=None,
        audio=clip,
    )
