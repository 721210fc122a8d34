"""The settings of the connect stage. Importing this loads nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rba.errors import RecipeError

HELD_OUT, TEMPLATED, SELF_SYNTHESISED = "held-out", "templated", "self-synthesised"
"""The parts of the corpus that come from no file."""
HEADS = 8  # of the connector's self-attention (`ConnectorConfig`); they share its channels


@dataclass(frozen=True)
class CorpusSettings:
    """The texts that a connector learns to hear."""

    files: tuple[str, ...] = ()  # JSON-lines files with a "text" each, beside what is generated
    self_synthesised: int = 20_000  # texts sampled from the LLM itself
    templated: int = 12_000  # texts from templates filled with names, numbers and places
    # profiles, one drawn evenly for each utterance: name one twice and it is drawn twice as often
    acoustics: tuple[Literal["clean", "moderate", "hard"], ...] = ("clean", "moderate", "moderate", "hard")
    speakers: int = 1200  # size of the speaker bank
    renderings: int = 1  # times each text is spoken, each by another speaker
    held_out: int = 500  # texts kept from training to measure the WER on

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        for key in ("self_synthesised", "templated"):
            _check(getattr(self, key) >= 0, f"corpus.{key}", "give 0 or more")
        for key in ("speakers", "renderings", "held_out"):
            _check(getattr(self, key) >= 1, f"corpus.{key}", "give 1 or more")
        _check(bool(self.acoustics), "corpus.acoustics", "name a profile at least")
        self._check_parts()

    def _check_parts(self) -> None:
        """Raise RecipeError where two parts of the corpus would have one name, and one would take the other's place."""
        taken = {HELD_OUT: "the texts held out"}
        taken |= {TEMPLATED: "those of connect.corpus.templated"} if self.templated else {}
        taken |= {SELF_SYNTHESISED: "those of connect.corpus.self_synthesised"} if self.self_synthesised else {}
        for file in self.files:
            name = part_name(file)
            if name in taken:
                fix = "rename the file: up to its first dot a file's name is that of its part"
                where = f"connect.corpus.files: {file}, beside {taken[name]}"
                raise RecipeError(f'two parts of the corpus are called "{name}"', where, fix)
            taken[name] = file


@dataclass(frozen=True)
class CtcSettings:
    """Connector shape and CTC training."""

    stack: int = 4  # encoder frames a step: 4 makes 12.5 steps a second
    width: int = 512
    layers: int = 2
    min_count: int = 4  # rarer tokens are spelled with shorter ones
    passes: float = 4.0  # over the corpus
    batch_steps: int = 2400  # connector steps a batch
    lr: float = 1.5e-3
    warmup: float = 0.03  # share of all updates
    dropout: float = 0.1
    mask: float = 0.08  # share of steps hidden by time masks
    average: float = 0.0  # share of connect.start's weights in what is kept; 0 = none

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        _check(self.stack >= 1, "ctc.stack", "give 1 or more")
        fits = self.width >= HEADS and self.width % HEADS == 0
        _check(fits, "ctc.width", f"give a multiple of {HEADS}, the number of heads")
        for key in ("layers", "min_count"):
            _check(getattr(self, key) >= 0, f"ctc.{key}", "give 0 or more")
        for key in ("passes", "batch_steps", "lr"):
            _check(0 < getattr(self, key) < math.inf, f"ctc.{key}", "give a number above 0")
        for key in ("warmup", "mask"):
            _check(0 <= getattr(self, key) <= 1, f"ctc.{key}", "give a share from 0 to 1")
        for key in ("dropout", "average"):
            _check(0 <= getattr(self, key) < 1, f"ctc.{key}", "give 0 or more, and less than 1")


@dataclass(frozen=True)
class DistillSettings:
    """Same-LLM distillation: the LLM on the typed words teaches the LLM on the spoken ones."""

    updates: int = 0  # 0 = off
    batch: int = 8  # utterances an update
    lr: float = 1e-4
    ctc_weight: float = 0.3  # keeps the connector readable
    max_response: int = 48  # tokens

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        _check(self.updates >= 0, "distill.updates", "give 0 or more")
        for key in ("batch", "max_response"):
            _check(getattr(self, key) >= 1, f"distill.{key}", "give 1 or more")
        _check(0 < self.lr < math.inf, "distill.lr", "give a number above 0")
        _check(0 <= self.ctc_weight < math.inf, "distill.ctc_weight", "give 0 or more")


@dataclass(frozen=True)
class ConnectSettings:
    """`connector` "shipped" takes the one in the package; "train" makes a new one."""

    connector: Literal["shipped", "train"] = "shipped"
    encoder: str = "whisper-base"
    llm: str = "smollm2-135m-instruct"
    start: str = ""  # a SpeechLM checkpoint, or "shipped", whose connector is trained on; "" begins anew
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    ctc: CtcSettings = field(default_factory=CtcSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)
    workers: int = 0  # processes that render and encode; 0 = one a core
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        for key in ("workers", "checkpoint_minutes"):
            _check(getattr(self, key) >= 0, key, "give 0 or more")
        if self.ctc.average and not self.start:
            fix = "name a connect.start, or set it to 0"
            raise RecipeError("there are no weights to average with", "connect.ctc.average", fix)


def part_name(file: str) -> str:
    """The name of the part of the corpus that a file makes: the file's own, up to its first dot."""
    return Path(file).name.split(".")[0]


def _check(good: bool, key: str, fix: str) -> None:
    if not good:
        raise RecipeError("this value cannot work", f"connect.{key}", fix)
