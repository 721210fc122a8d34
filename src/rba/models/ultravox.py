"""Opening Ultravox checkpoints: some hold the projector alone and name their base models, some hold every part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from rba.errors import ModelError
from rba.models.bridge import file_of, weight_files
from rba.models.ultravox_model import UltravoxConfig, UltravoxModel
from rba.models.ultravox_turns import AUDIO_TOKEN, UltravoxTurns, ears
from rba.weights.resolve import resolve

TOWER, PROJECTOR, LLM = "audio_tower", "multi_modal_projector", "language_model"
Weights = dict[str, torch.Tensor]


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
    held = _weights(source)
    tower = _tower(config, held.pop(TOWER), dtype, source)
    llm = _llm(config, held.pop(LLM), dtype, source)
    # what is saved of this model holds them
    config.audio_model_id = config.text_model_id = None
    core = UltravoxModel(config, tower, llm)
    _lay(core.multi_modal_projector, held[PROJECTOR], PROJECTOR, source, whole=True)
    if file_of(source, "generation_config.json"):
        core.generation_config = GenerationConfig.from_pretrained(source)
    else:
        core.generation_config = llm.generation_config
    return core, processor


def _check(config: Any, source: str) -> None:
    kind = config.audio_config.model_type
    if kind != "whisper":
        raise ModelError(f"the audio tower of this Ultravox is no Whisper but {kind}", source, _CHOOSE)
    if config.num_projector_layers:
        raise ModelError("the projector of this Ultravox is a transformer, which rba does not know", source, _CHOOSE)


def _tokenizer(config: Any, source: str) -> Any:
    """The checkpoint's own, or its LLM's where it brings none along."""
    own = file_of(source, "tokenizer_config.json") or not config.text_model_id
    place = source if own else resolve(config.text_model_id)
    # an LLM's tokenizer, whatever Ultravox's own code would say of it
    return AutoTokenizer.from_pretrained(place, config=config.text_config)


def _weights(source: str) -> dict[str, Weights]:
    """The checkpoint's weights by part."""
    held: dict[str, Weights] = {TOWER: {}, PROJECTOR: {}, LLM: {}}
    for path in weight_files(source):
        for key, weight in load_file(path).items():
            part, _, rest = key.partition(".")
            if part not in held:
                raise ModelError(f"the checkpoint holds {key}, which is no part of an Ultravox", source, _CHOOSE)
            if "lora_" in key:
                fix = "merge it into the weights and save the model, then name that folder"
                raise ModelError("the audio LM carries an adapter of its own", source, fix)
            held[part][rest] = weight
    return held


def _tower(config: Any, state: Weights, dtype: torch.dtype, source: str) -> Any:
    if config.audio_model_id is None:
        return _made(WhisperEncoder, config.audio_config, state, dtype, TOWER, source)
    whisper: Any = AutoModel.from_pretrained(resolve(config.audio_model_id), config=config.audio_config, dtype=dtype)
    return _lay(whisper.get_encoder(), state, TOWER, source)


def _llm(config: Any, state: Weights, dtype: torch.dtype, source: str) -> Any:
    if config.text_model_id is None:
        kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config.text_config), None)
        if kind is None:
            what = f"the language model of this Ultravox is none that writes: {config.text_config.model_type}"
            raise ModelError(what, source, _CHOOSE)
        return _made(kind, config.text_config, state, dtype, LLM, source)
    place = resolve(config.text_model_id)
    llm: Any = AutoModelForCausalLM.from_pretrained(place, config=config.text_config, dtype=dtype)
    return _lay(llm, state, LLM, source)


def _made(kind: Any, config: Any, state: Weights, dtype: torch.dtype, part: str, source: str) -> Any:
    """A part of which the checkpoint holds every weight."""
    given = {"config": config, "state_dict": state, "dtype": dtype}
    try:
        module, found = kind.from_pretrained(None, **given, output_loading_info=True)
    except RuntimeError as error:
        raise _other_shapes(part, source) from error
    _agree(part, found["missing_keys"], found["unexpected_keys"], source)
    return module


def _lay(module: Any, state: Weights, part: str, source: str, whole: bool = False) -> Any:
    """Give a part the weights that the checkpoint holds, all of it where it is to be `whole`."""
    try:
        found = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise _other_shapes(part, source) from error
    _agree(part, found.missing_keys if whole else (), found.unexpected_keys, source)
    return module


def _other_shapes(part: str, source: str) -> ModelError:
    return ModelError(f"weights of the checkpoint's {part} have other shapes than config.json says", source, _CHOOSE)


def _agree(part: str, missing: Iterable[str], surplus: Iterable[str], source: str) -> None:
    """Raise ModelError where a checkpoint lacks weights of a part, or holds some that the part has no place for."""
    sides = {"lacks": sorted(missing), "has no place for": sorted(surplus)}
    told = [f"{what} {', '.join(names[:3])}{' and more' * (len(names) > 3)}" for what, names in sides.items() if names]
    if told:
        raise ModelError(f"the {part} of the checkpoint {' and '.join(told)}", source, _CHOOSE)


_CHOOSE = "choose another checkpoint, or mend its config.json"
