"""The settings of the evaluation stage. Importing this loads nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from rba.errors import RecipeError
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.lm.sampling import Sampling

SLOW_JUDGES = ("likelihood", "reward-model", "pairwise", "letter")
JUDGES = ("recall", "similarity", "bleu", "bleu-zh", "bleu-char", "chrf", *SLOW_JUDGES)
CONDITIONS = ("clean", "noise-<dB>", "room", "hall", "telephone", "fast", "slow", "accent", "engine", "typed")

_CONDITION = re.compile(r"noise-(?:0|-?[1-9]\d?)|clean|room|hall|telephone|fast|slow|accent|engine|typed")


@dataclass(frozen=True)
class ConditionSettings:
    """Under which conditions test utterances are asked again (`rba.evaluation.listening`), and how many."""

    names: tuple[str, ...] = ()  # "clean", "noise-10" (dB), "hall", ... (docs/benchmarks.md); empty: none
    instructions: int = 64  # test instructions, at most; 0: all that are evaluated
    voices: int = 1  # voices per instruction, at most
    engine: str = "kokoro"  # the speech engine of the condition "engine": one that training did not use

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        for name in self.names:
            _check(bool(_CONDITION.fullmatch(name)), f"conditions.names: {name}", f"use {', '.join(CONDITIONS)}")
        _check(len(set(self.names)) == len(self.names), "conditions.names", "name each condition once")
        _check(self.instructions >= 0, "conditions.instructions", "give 0 or more")
        _check(self.voices >= 1, "conditions.voices", "give 1 or more")

    def check_engine(self, spoken: Collection[str]) -> None:
        """Raise RecipeError where the condition "engine" names one of the engines that the run is `spoken` with."""
        if "engine" in self.names and self.engine in spoken:
            what, where = "the condition needs an engine that the run does not speak with", "evaluate.conditions.engine"
            raise RecipeError(what, f"{where} {self.engine}", "name another engine, or leave the condition out")


@dataclass(frozen=True)
class EvaluateSettings:
    """What the models are asked, how they answer, and how answers are compared.

    Two judges at least: one of them may be what a model was trained on, and such a judge must not stand alone.
    """

    instructions: int = 128  # test instructions, at most; 0: all of them
    voices: int = 4  # voices per instruction, at most
    answer: Sampling = field(
        default_factory=lambda: Sampling(0.0, 1.0, 160)
    )  # how answers are drawn; temperature 0: greedy
    judges: tuple[str, ...] = ("recall", "similarity")  # who decides win rates; the first is shown first
    opponents: tuple[str, ...] = ("base", "sft", "teacher")  # models that win rates are taken against
    teacher_again: int = 64  # instructions that the teacher answers a second time, to be judged itself; 0: none
    again: Sampling = field(default_factory=lambda: Sampling(0.6, 0.9, 160))  # how it draws that second answer
    judge: str = ""  # LLM of the judges "pairwise" and "letter", which read both answers; empty: the teacher
    reward_model: str = ""  # sequence-classification model of the judge "reward-model"
    slow_judge_instructions: int = 64  # instructions (first voice) that judges with a model of that size read; 0: all
    conditions: ConditionSettings = field(default_factory=ConditionSettings)  # the same requests, heard otherwise
    benchmarks: tuple[BenchmarkSettings, ...] = ()  # tests that others made (docs/benchmarks.md)
    cascade: str = "whisper-tiny.en"  # the recogniser of the cascade (Whisper, Moonshine or served); empty: none
    embedder: str = "all-minilm-l6-v2"  # sentence embedder of similarity and consistency
    resamples: int = 2000  # bootstrap resamples behind the 95 % intervals
    batch: int = 32  # answers generated at once
    shard_size: int = 64  # answers per shard; a shard is the unit of resuming
    dtype: str = "auto"  # number format of the LLMs; auto: bfloat16 where the machine multiplies it, else float32

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        least = {"instructions": 0, "voices": 1, "teacher_again": 0, "slow_judge_instructions": 0, "resamples": 100}
        for key, low in {**least, "batch": 1, "shard_size": 1}.items():
            _check(getattr(self, key) >= low, key, f"give {low} or more")
        for judge in self.judges:
            _check(judge in JUDGES, f"judges: {judge}", f"choose from {', '.join(JUDGES)}")
        _check(len(set(self.judges)) == len(self.judges) >= 2, "judges", "give two different judges at least")
        if "reward-model" in self.judges and not self.reward_model:
            fix = "set it to a sequence-classification model: a registry name, a local folder or a hub id"
            raise RecipeError('the judge "reward-model" needs a model', "evaluate.reward_model", fix)
        names = [benchmark.name for benchmark in self.benchmarks]
        _check(len(set(names)) == len(names), "benchmarks", "give each benchmark a name of its own")
        _check(self.dtype in ("auto", "bfloat16", "float16", "float32"), "dtype", "auto, bfloat16, float16 or float32")


def _check(good: bool, key: str, fix: str) -> None:
    if not good:
        raise RecipeError("this value cannot work", f"evaluate.{key}", fix)
