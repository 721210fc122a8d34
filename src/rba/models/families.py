"""The audio LMs of transformers that rba opens, and the little in which they differ. Imports nothing heavy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rba.errors import ModelError

PROJECTOR = "projector.safetensors"
"""The file of a checkpoint folder that tells an audio LM from the compact model."""


@dataclass(frozen=True)
class Family:
    """What is not read off a model itself.

    `model_class` is its class in transformers; `projector` the path, inside the model, of the module between audio
    tower and LLM (`place_in`); `row_by_row` says that the projector maps each row of its input to one row for the LLM;
    `audio_kwargs` go to the processor. `title` is for people.
    """

    title: str
    model_class: str
    projector: str = "model.multi_modal_projector"
    row_by_row: bool = True
    audio_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def place_in(self, core: Any) -> str:
        """The projector's path in a model: some releases of transformers have no inner `model` around the parts."""
        older = self.projector.removeprefix("model.")
        return older if hasattr(core, older.split(".")[0]) else self.projector


_OMNI = Family("Qwen2.5-Omni (thinker)", "Qwen2_5OmniThinkerForConditionalGeneration", "model.audio_tower.proj")

FAMILIES: dict[str, Family] = {
    "qwen2_audio": Family("Qwen2-Audio", "Qwen2AudioForConditionalGeneration"),
    "audioflamingo3": Family(
        "Audio Flamingo 3", "AudioFlamingo3ForConditionalGeneration", audio_kwargs={"padding": "max_length"}
    ),
    "glmasr": Family("GLM-ASR", "GlmAsrForConditionalGeneration"),
    "musicflamingo": Family(
        "Music Flamingo", "MusicFlamingoForConditionalGeneration", audio_kwargs={"padding": "max_length"}
    ),
    "qwen3_asr": Family("Qwen3-ASR", "Qwen3ASRForConditionalGeneration"),
    "granite_speech": Family(
        "Granite Speech", "GraniteSpeechForConditionalGeneration", "model.projector", row_by_row=False
    ),
    "qwen2_5_omni": _OMNI,
    "qwen2_5_omni_thinker": _OMNI,
}
"""By the `model_type` of a checkpoint's configuration."""


def is_published(name: str | Path) -> bool:
    """Whether `name` is a model as transformers saves it: a folder with a `config.json`, or the form of a hub id."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return (folder / "config.json").is_file() and not (folder / "speechlm.json").is_file()
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", str(name)) is not None and not folder.parent.exists()


def check_published(name: str | Path) -> None:
    """Raise ModelError for a local folder of a family that rba does not open; a hub id is taken on trust."""
    path = Path(name).expanduser() / "config.json"
    if not path.is_file():
        return
    try:
        model_type = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError("config.json names no model_type", str(path), "download the model again") from error
    family_of(model_type, str(name))


def family_of(model_type: str, where: str) -> Family:
    """The family of a checkpoint's `model_type`. Raises ModelError, naming `where`, for one that rba does not open."""
    if model_type not in FAMILIES:
        fix = f"choose one of {', '.join(FAMILIES)}, or add the family (docs/families.md)"
        raise ModelError(f'no audio LM that rba knows: its model_type is "{model_type}"', where, fix)
    return FAMILIES[model_type]
