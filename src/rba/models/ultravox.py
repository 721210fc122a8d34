"""Opening Ultravox checkpoints: some hold the projector alone and name their base models, some hold every part."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoTokenizer

from rba.errors import ModelError
from rba.models.bridge import file_of
from rba.models.own_layout import CHOOSE, generation_config, lay, open_llm, open_whisper, weights_by_part
from rba.models.ultravox_model import UltravoxConfig, UltravoxModel
from rba.models.ultravox_turns import AUDIO_TOKEN, UltravoxTurns, ears
from rba.weights.resolve import resolve

TOWER, PROJECTOR, LLM = "audio_tower", "multi_modal_projector", "language_model"


def open_parts(source: str, dtype: torch.dtype) -> tuple[UltravoxModel, UltravoxTurns]:
    """The model and its processor from a folder or hub id; the base models that it names are opened, too.

    A base model is overlaid with what the checkpoint holds of it. Raises ModelError for weights that are missing,
    surplus, of other shapes or an adapter's, and for an audio tower or projector of another kind; OSError for what
    cannot be reached.
    """
    config: Any = UltravoxConfig.from_pretrained(source)
    _check(config, source)
    processor = UltravoxTurns(ears(config.audio_config), _tokenizer(config, source), config.stack_factor, source)
    config.audio_token_index = processor.tokenizer.convert_tokens_to_ids(AUDIO_TOKEN)
    held = weights_by_part(source, (TOWER, PROJECTOR, LLM), "an Ultravox")
    tower = open_whisper(config.audio_config, config.audio_model_id, held.pop(TOWER), dtype, TOWER, source)
    llm = open_llm(config.text_config, config.text_model_id, held.pop(LLM), dtype, LLM, source, "Ultravox")
    # what is saved of this model holds them
    config.audio_model_id = config.text_model_id = None
    core = UltravoxModel(config, tower, llm)
    lay(core.multi_modal_projector, held[PROJECTOR], PROJECTOR, source, whole=True)
    core.generation_config = generation_config(source, llm)
    return core, processor


def _check(config: Any, source: str) -> None:
    kind = config.audio_config.model_type
    if kind != "whisper":
        raise ModelError(f"the audio tower of this Ultravox is no Whisper but {kind}", source, CHOOSE)
    if config.num_projector_layers:
        raise ModelError("the projector of this Ultravox is a transformer, which rba does not know", source, CHOOSE)


def _tokenizer(config: Any, source: str) -> Any:
    """The checkpoint's own, or its LLM's where it brings none along."""
    own = file_of(source, "tokenizer_config.json") or not config.text_model_id
    place = source if own else resolve(config.text_model_id)
    # an LLM's tokenizer, whatever Ultravox's own code would say of it
    return AutoTokenizer.from_pretrained(place, config=config.text_config)
