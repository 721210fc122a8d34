"""The audio LMs that rba opens, and the little in which they differ. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rba.document import parse_json
from rba.errors import ModelError
from rba.files import local

PROJECTOR = "projector.safetensors"
"""The file of a checkpoint folder that tells an audio LM from the compact model."""

AUTO = "transformers:AutoProcessor.from_pretrained"
"""What opens the processor of a family where nothing stands in its way."""


@dataclass(frozen=True)
class Family:
    """What is not read off a model itself.

    `model_class` is its class in transformers, or "module:class"; `projector` the path, inside the model, of the module
    between audio tower and LLM, or of the modules that together are it (a name without a dot is an activation of
    transformers); `row_by_row` says that it maps each row of its input to one row for the LLM. `tower` is the path of
    the audio tower, "" where there is none, `adapter` the folder of an adapter that a checkpoint brings along for
    speech. `audio_kwargs` go to the processor; `processor` names what opens it ("module:function", given the source).
    `opener` names what opens model and processor (given the source and the precision) where transformers does not,
    `speechlm` its SpeechLM ("module:class") where that is not the plain `AudioLM`. `title` is for people, `rows` for
    plans: how many rows for the LLM the published checkpoints make of a second of sound; `kept_rows` how many rows the
    projector reads of every clip, where they are no function of its length. `since` is the lowest release of
    transformers that it works with, where it is not the lowest that rba takes.
    """

    title: str
    model_class: str
    projector: str | tuple[str, ...] = "model.multi_modal_projector"
    row_by_row: bool = True
    tower: str = "model.audio_tower"
    adapter: str = ""
    audio_kwargs: Mapping[str, Any] = field(default_factory=dict)
    processor: str = AUTO
    opener: str = ""
    speechlm: str = ""
    rows: float = 25.0
    kept_rows: int = 0
    since: str = ""


_OMNI = Family(
    "Qwen2.5-Omni (thinker)",
    "Qwen2_5OmniThinkerForConditionalGeneration",
    "model.audio_tower.proj",
    processor="rba.models.processors:qwen2_5_omni",
)
_OMNI3 = Family(
    "Qwen3-Omni (thinker)",
    "Qwen3OmniMoeThinkerForConditionalGeneration",
    ("model.audio_tower.proj1", "model.audio_tower.act", "model.audio_tower.proj2"),
    processor="rba.models.processors:qwen3_omni",
    rows=13.0,
    since="5.14",
)
_PHI = "model.embed_tokens_extend.audio_embed"

FAMILIES: dict[str, Family] = {
    "qwen2_audio": Family("Qwen2-Audio", "Qwen2AudioForConditionalGeneration"),
    "audioflamingo3": Family(
        "Audio Flamingo 3", "AudioFlamingo3ForConditionalGeneration", audio_kwargs={"padding": "max_length"}
    ),
    "glmasr": Family("GLM-ASR", "GlmAsrForConditionalGeneration", rows=12.5),
    "musicflamingo": Family(
        "Music Flamingo", "MusicFlamingoForConditionalGeneration", audio_kwargs={"padding": "max_length"}
    ),
    "qwen3_asr": Family("Qwen3-ASR", "Qwen3ASRForConditionalGeneration", rows=13.0),
    "fun_asr_nano": Family(
        "Fun-ASR-Nano", "FunAsrNanoForConditionalGeneration", speechlm="rba.models.fun_asr:FunAsr", rows=16.7
    ),
    "granite_speech": Family(
        "Granite Speech", "GraniteSpeechForConditionalGeneration", "model.projector", False, "model.encoder", rows=10.0
    ),
    "granite_speech_plus": Family(
        "Granite Speech plus",
        "GraniteSpeechPlusForConditionalGeneration",
        "model.projector",
        False,
        "model.encoder",
        rows=10.0,
    ),
    "voxtral": Family(
        "Voxtral", "VoxtralForConditionalGeneration", processor="rba.models.voxtral:open_turns", rows=12.5, since="5.17"
    ),
    "qwen2_5_omni": _OMNI,
    "qwen2_5_omni_thinker": _OMNI,
    "qwen3_omni_moe": _OMNI3,
    "qwen3_omni_moe_thinker": _OMNI3,
    "gemma3n": Family(
        "Gemma 3n",
        "rba.models.gemma3n:Gemma3nForConditionalGeneration",
        "model.embed_audio",
        processor="rba.models.processors:gemma3n",
        speechlm="rba.models.gemma3n:Gemma3n",
        rows=38.0,  # 188 for every clip: one of 5 s
        since="5.8",
    ),
    "gemma4": Family(
        "Gemma 4",
        "Gemma4ForConditionalGeneration",
        "model.embed_audio",
        processor="rba.models.processors:gemma4",
        since="5.17",
    ),
    "gemma4_unified": Family(
        "Gemma 4 Unified",
        "Gemma4UnifiedForConditionalGeneration",
        "model.embed_audio",
        tower="",
        processor="rba.models.processors:gemma4_unified",
        since="5.14",
    ),
    "nemotron_h_omni": Family(
        "Nemotron 3 Omni",
        "NemotronH_Omni_Reasoning_V3",
        "embed_audio",
        tower="audio_tower",
        processor="rba.models.processors:nemotron_omni",
        rows=12.5,
    ),
    "phi4_multimodal": Family(
        "Phi-4-multimodal",
        "Phi4MultimodalForCausalLM",
        (f"{_PHI}.up_proj_for_speech", "gelu", f"{_PHI}.down_proj_for_speech"),
        tower=f"{_PHI}.encoder",
        adapter="speech-lora",
        processor="rba.models.processors:phi4_multimodal",
        rows=12.5,
        since="5.8",
    ),
    "ultravox": Family(
        "Ultravox",
        "rba.models.ultravox_model:UltravoxModel",
        "multi_modal_projector",
        tower="audio_tower",
        opener="rba.models.ultravox:open_parts",
        rows=6.25,
    ),
    "desta25": Family(
        "DeSTA2.5-Audio",
        "rba.models.desta_model:DestaModel",
        "perception.connector",
        False,
        "perception.whisper.model.encoder",
        opener="rba.models.desta:open_parts",
        speechlm="rba.models.desta:Desta",
        rows=16.0,  # 64 for every clip, and its words: one of 5 s
        kept_rows=6000,
    ),
    "salmonn": Family(
        "SALMONN",
        "rba.models.salmonn_model:SalmonnModel",
        "connector",
        False,
        "ears",
        opener="rba.models.salmonn:open_parts",
        rows=17.6,  # 88 for every clip: one of 5 s
        kept_rows=1500,
    ),
}
"""By the `model_type` of a checkpoint's configuration."""


def is_published(name: str | Path) -> bool:
    """Whether `name` is a model as transformers saves it: a folder with a `config.json`, or the form of a hub id."""
    folder = local(name)
    if folder.is_dir():
        return (folder / "config.json").is_file() and not (folder / "speechlm.json").is_file()
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", str(name)) is not None and not folder.parent.exists()


FILES_ALONE = ("tsinghua-ee/SALMONN", "tsinghua-ee/SALMONN-7B")
"""Hub ids of audio LMs that hold weights for a folder of one's own, and no `config.json`."""


def check_whole(name: str | Path) -> None:
    """Raise ModelError for a hub id that is one of `FILES_ALONE`."""
    if str(name) in FILES_ALONE:
        fix = "name a folder of your own that holds them and a config.json (docs/families.md#salmonn)"
        raise ModelError("this hub id holds weights alone and is no model", str(name), fix)


def check_published(name: str | Path) -> None:
    """Raise ModelError for a local folder of a family that rba does not open, and as `check_whole`.

    Any other hub id is taken on trust.
    """
    check_whole(name)
    path = local(name) / "config.json"
    if not path.is_file():
        return
    try:
        model_type = parse_json(path.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError("config.json names no model_type", str(path), "download the model again") from error
    family_of(model_type, str(name))


def family_of(model_type: str, where: str) -> Family:
    """The family of a checkpoint's `model_type`. Raises ModelError, naming `where`, for one that rba does not open."""
    if model_type not in FAMILIES:
        fix = f"choose one of {', '.join(FAMILIES)}, or add the family (docs/families.md)"
        raise ModelError(f'no audio LM that rba knows: its model_type is "{model_type}"', where, fix)
    return FAMILIES[model_type]
