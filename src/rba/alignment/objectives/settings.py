"""The settings of single objectives, one section each under `align`. Importing this loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rba.errors import RecipeError


def check(good: bool, key: str, fix: str) -> None:
    """Raise RecipeError for the key `align.KEY` unless its value is `good`."""
    if not good:
        raise RecipeError("this value cannot work", f"align.{key}", fix)


@dataclass(frozen=True)
class KdSettings:
    """Distillation on the teacher's answers (`kd`)."""

    temperature: float = 2.0  # of both distributions
    end_weight: float = 1.0  # weight of the divergence where the answer ends, a term of its own

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        check(self.temperature > 0, "kd.temperature", "give a number above 0")
        check(self.end_weight >= 0, "kd.end_weight", "give 0 or more")


@dataclass(frozen=True)
class GkdSettings:
    """Distillation on a mix of the teacher's answers and own ones (`gkd`)."""

    beta: float = 0.5  # 0 = forward KL, 1 = reverse KL, between them the generalised Jensen-Shannon divergence
    own: float = 0.5  # probability that an instruction trains on own answers instead of the teacher's (lambda)
    temperature: float = 1.0  # of both distributions
    teacher_temperature: float = 1.0  # of the teacher's alone, on top; below 1 it is sharper

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        check(0 <= self.beta <= 1, "gkd.beta", "give a number from 0 to 1")
        check(0 <= self.own <= 1, "gkd.own", "give a probability")
        for key in ("temperature", "teacher_temperature"):
            check(getattr(self, key) > 0, f"gkd.{key}", "give a number above 0")


@dataclass(frozen=True)
class OpdSettings:
    """On-policy distillation (`opd`)."""

    form: Literal["full", "sampled"] = "full"  # reverse KL over the vocabulary | log-ratios of the sampled tokens
    text_weight: float = 0.2  # share of the term on typed requests; 0 = it is left out, with its answers
    clip: float = 0.2  # of the importance ratio, with "sampled"
    teacher_temperature: float = 1.0  # of the teacher's distributions for speech, with "full"; below 1: sharper

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        check(0 <= self.text_weight < 1, "opd.text_weight", "give a share from 0 to below 1")
        for key in ("clip", "teacher_temperature"):
            check(getattr(self, key) > 0, f"opd.{key}", "give a number above 0")
        plain = self.form == "full" or self.teacher_temperature == 1
        check(plain, "opd.teacher_temperature", "log-probs of drawn tokens are not sharpened: set opd.form: full")


@dataclass(frozen=True)
class RbaOpdSettings:
    """RBA-Group against the reading teacher, with its dense signal (`rba-opd`)."""

    preference: float = 1.0  # weight of the preference across voices; 0 = without
    dense: float = 0.2  # weight of the divergence from the teacher, summed over an answer; 0 = without
    dense_beta: float = 1.0  # which: as gkd.beta, so 1 is the reverse KL and 0.5 the Jensen-Shannon divergence
    ce: float = 0.0  # weight of the cross-entropy on the teacher's answer; 0 = without
    teacher_temperature: float = 1.0  # of the teacher's distributions; below 1 they are sharper

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        for key in ("preference", "dense", "ce"):
            check(getattr(self, key) >= 0, f"rba_opd.{key}", "give 0 or more")
        check(self.preference + self.dense + self.ce > 0, "rba_opd", "give one of its weights above 0")
        check(0 <= self.dense_beta <= 1, "rba_opd.dense_beta", "give a number from 0 to 1")
        check(self.teacher_temperature > 0, "rba_opd.teacher_temperature", "give a number above 0")


@dataclass(frozen=True)
class GrpoSettings:
    """Group-relative policy optimisation (`grpo`)."""

    loss: Literal["dapo", "grpo", "dr_grpo"] = "dapo"  # mean over all tokens | over answers | over the longest length
    scale: Literal["group", "batch", "none"] = "group"  # what an advantage is divided by: a standard deviation, or 1
    group: Literal["instruction", "voice"] = "instruction"  # whose answers are compared
    clip_low: float = 0.2  # the importance ratio is clipped below 1 - this
    clip_high: float = 0.2  # and above 1 + this (DAPO's clip-higher: 0.28)
    kl: float = 0.02  # weight of the divergence from the reference; 0 = no reference is asked

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        check(0 < self.clip_low < 1, "grpo.clip_low", "give a number above 0 and below 1")
        check(self.clip_high > 0, "grpo.clip_high", "give a number above 0")
        check(self.kl >= 0, "grpo.kl", "give 0 or more")


@dataclass(frozen=True)
class RlooSettings:
    """REINFORCE with a leave-one-out baseline (`rloo`)."""

    group: Literal["instruction", "voice"] = "instruction"  # whose answers are compared
    clip: float = 0.2  # of the importance ratio of whole answers
    kl: float = 0.05  # weight of the log-ratio to the reference, taken off the reward; 0 = no reference is asked

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        check(self.clip > 0, "rloo.clip", "give a number above 0")
        check(self.kl >= 0, "rloo.kl", "give 0 or more")


@dataclass(frozen=True)
class PpoSettings:
    """Proximal policy optimisation (`ppo`)."""

    clip: float = 0.2  # of the importance ratio
    kl: float = 0.05  # weight of the log-ratio to the reference, taken off every token's reward; 0 = no reference
    discount: float = 1.0  # of later rewards (gamma)
    trace: float = 0.95  # of later errors in the advantage (lambda of GAE)
    value_weight: float = 0.1  # weight of the value loss
    value_lr: float = 1e-3  # peak learning rate of the value head
    scale: Literal["batch", "none"] = "batch"  # rewards of an update are standardised, or left as they are

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        for key in ("clip", "value_weight", "value_lr"):
            check(getattr(self, key) > 0, f"ppo.{key}", "give a number above 0")
        for key in ("discount", "trace"):
            check(0 <= getattr(self, key) <= 1, f"ppo.{key}", "give a number from 0 to 1")
        check(self.kl >= 0, "ppo.kl", "give 0 or more")


@dataclass(frozen=True)
class TarsSettings:
    """GRPO with rewards for hearing as one reads (`tars`); its loss and clips are those of `align.grpo`."""

    representation: float = 1.0  # weight of the cosine of hidden states under speech and under text
    behaviour: float = 1.0  # weight of the reward "similarity" to the teacher's answer; 0 = as align.reward has it
    text: bool = True  # answers to the typed request are trained on too, with a baseline of their own
    scale: Literal["group", "none"] = "none"  # what an advantage is divided by: the standard deviation, or 1
    kl: float = 0.0  # weight of the divergence from the reference; 0 = no reference is asked

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        for key in ("representation", "behaviour", "kl"):
            check(getattr(self, key) >= 0, f"tars.{key}", "give 0 or more")
