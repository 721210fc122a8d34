"""The real classes that models are of, by what a recipe uses them as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rba.errors import ModelError

Kind = Literal["lm", "audio", "reward", "encoder", "recogniser"]
Builder = Callable[[Any, str], tuple[Any, Any]]


def _lm(config: Any, name: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_config(config), None


def _audio(config: Any, name: str) -> tuple[Any, Any]:
    from torch.nn import Module

    from rba.models.bridge import class_of, lacking, part, projector_of
    from rba.models.families import family_of

    family = family_of(config.model_type, name)
    if reason := lacking(family):
        raise ModelError(reason, name, "upgrade it")
    model = class_of(family)(getattr(config, "thinker_config", config))
    tower = part(model, family.tower) if family.tower else Module()
    return model, (tower, projector_of(model, family))


def _reward(config: Any, name: str) -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification

    from rba.lm.armorm import ArmoRM, is_armorm

    if is_armorm(config):
        return ArmoRM(config), None
    config.num_labels = 1
    return AutoModelForSequenceClassification.from_config(config), None


def _encoder(config: Any, name: str) -> tuple[Any, Any]:
    from transformers import AutoModel

    return AutoModel.from_config(config), None


def _recogniser(config: Any, name: str) -> tuple[Any, Any]:
    from transformers import AutoModelForSpeechSeq2Seq

    return AutoModelForSpeechSeq2Seq.from_config(config), None


BUILDERS: dict[Kind, Builder] = {
    "lm": _lm,
    "audio": _audio,
    "reward": _reward,
    "encoder": _encoder,
    "recogniser": _recogniser,
}
"""What makes the model of a configuration, and an audio LM's tower and projector; called where weights take no room."""
