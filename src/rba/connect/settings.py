"""The settings of the connect stage. Importing this loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rba.errors import RecipeError


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


@dataclass(frozen=True)
class DistillSettings:
    """Same-LLM distillation: the LLM on the typed words teaches the LLM on the spoken ones."""

    updates: int = 0  # 0 = off
    batch: int = 8  # utterances an update
    lr: float = 1e-4
    ctc_weight: float = 0.3  # keeps the connector readable
    max_response: int = 48  # tokens


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
        for key, value in {"passes": self.ctc.passes, "lr": self.ctc.lr, "batch_steps": self.ctc.batch_steps}.items():
            if value <= 0:
                raise RecipeError("this value cannot work", f"connect.ctc.{key}", "give a number above 0")
        if not 0 <= self.ctc.average < 1:
            raise RecipeError("this value cannot work", "connect.ctc.average", "give 0 or more, and less than 1")
        if self.ctc.average and not self.start:
            fix = "name a connect.start, or set it to 0"
            raise RecipeError("there are no weights to average with", "connect.ctc.average", fix)
        if not self.corpus.acoustics:
            raise RecipeError("this value cannot work", "connect.corpus.acoustics", "name a profile at least")
