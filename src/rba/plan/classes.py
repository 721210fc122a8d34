"""The real classes that models are of, by what a recipe uses them as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["lm", "audio", "reward", "whisper", "recogniser"]
Builder = Callable[[Any, str], tuple[Any, str]]


def _lm(config: Any, name: str) -> tuple[Any, str]:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_config(config), ""


def _audio(config: Any, name: str) -> tuple[Any, str]:
    import transformers

    from rba.models.families import family_of

    family = family_of(config.model_type, name)
    model = getattr(transformers, family.model_class)(config)
    return model, family.place_in(model)


def _reward(config: Any, name: str) -> tuple[Any, str]:
    from transformers import AutoModelForSequenceClassification

    from rba.lm.armorm import ArmoRM, is_armorm

    if is_armorm(config):
        return ArmoRM(config), ""
    config.num_labels = 1
    return AutoModelForSequenceClassification.from_config(config), ""


def _whisper(config: Any, name: str) -> tuple[Any, str]:
    from transformers import WhisperForConditionalGeneration

    return WhisperForConditionalGeneration(config), ""


def _recogniser(config: Any, name: str) -> tuple[Any, str]:
    from transformers import AutoModelForSpeechSeq2Seq

    return AutoModelForSpeechSeq2Seq.from_config(config), ""


BUILDERS: dict[Kind, Builder] = {
    "lm": _lm,
    "audio": _audio,
    "reward": _reward,
    "whisper": _whisper,
    "recogniser": _recogniser,
}
"""What makes the model of a configuration, and names its projector's place; called where weights take no room."""
