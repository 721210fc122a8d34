"""Models that transformers has no class for, by the layout of their weights: parts opened one by one.

A checkpoint may hold every part, or name base models that what it holds is laid over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from rba.errors import ModelError
from rba.files import local
from rba.models.bridge import file_of, weight_files
from rba.weights.resolve import resolve

Weights = dict[str, torch.Tensor]
CHOOSE = "choose another checkpoint, or mend its config.json"


def part_config(config: Any, name: str | None, kind: str) -> Any:
    """A part's configuration: its base model's, or the one given, of the `kind` that is meant where it names none.

    Raises OSError for a base model that cannot be reached.
    """
    if name:
        try:
            found: Any = AutoConfig.from_pretrained(resolve(name))
        except (OSError, ValueError) as error:
            raise OSError(f"its base model {name} cannot be opened: {str(error).strip().splitlines()[0]}") from error
        # a publisher's own code may tell a Whisper and its mels by this name
        found.name_or_path = Path(name).name if local(name).is_dir() else name
        return found
    if isinstance(config, PreTrainedConfig):
        return config
    tree = {"model_type": kind, **(config or {})}
    return AutoConfig.for_model(**tree)


def weights_by_part(source: str, parts: Sequence[str], title: str) -> dict[str, Weights]:
    """The weights of a folder or hub id by the part, of dotted names `parts`, that they belong to.

    Raises ModelError, naming the family `title`, for one that belongs to none, and for an adapter's.
    """
    weights = {key: weight for path in weight_files(source) for key, weight in load_file(path).items()}
    return parted(weights, parts, title, source)


def parted(weights: Weights, parts: Sequence[str], title: str, source: str) -> dict[str, Weights]:
    """Named `weights` by the part that they belong to, as `weights_by_part` does it and with its errors."""
    held: dict[str, Weights] = {part: {} for part in parts}
    for key, weight in weights.items():
        part = next((part for part in parts if key.startswith(f"{part}.")), None)
        if part is None:
            raise ModelError(f"the checkpoint holds {key}, which is no part of {title}", source, CHOOSE)
        if "lora_" in key:
            fix = "merge it into the weights and save the model, then name that folder"
            raise ModelError("the audio LM carries an adapter of its own", source, fix)
        held[part][key.removeprefix(f"{part}.")] = weight
    return held


def open_whisper(config: Any, base: str | None, state: Weights, dtype: torch.dtype, part: str, source: str) -> Any:
    """Whisper's encoder of a checkpoint: the named base model's under what is held, or all of it as held."""
    if base is None:
        return made(WhisperEncoder, config, state, dtype, part, source)
    whisper: Any = AutoModel.from_pretrained(resolve(base), config=config, dtype=dtype)
    return lay(whisper.get_encoder(), state, part, source)


def open_llm(
    config: Any, base: str | None, state: Weights, dtype: torch.dtype, part: str, source: str, title: str
) -> Any:
    """The LLM of a checkpoint of the family `title`: the named base model under what is held, or all of it as held."""
    if base:
        llm: Any = AutoModelForCausalLM.from_pretrained(resolve(base), config=config, dtype=dtype)
        return lay(llm, state, part, source)
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if kind is None:
        what = f"the language model of this {title} is none that writes: {config.model_type}"
        raise ModelError(what, source, CHOOSE)
    return made(kind, config, state, dtype, part, source)


def generation_config(source: str, llm: Any) -> Any:
    """How the whole model writes: as its checkpoint says, else as its LLM does."""
    own = file_of(source, "generation_config.json")
    return GenerationConfig.from_pretrained(source) if own else llm.generation_config


def made(kind: Any, config: Any, state: Weights, dtype: torch.dtype, part: str, source: str) -> Any:
    """A part of the class `kind` of which the checkpoint holds every weight. Raises ModelError where it does not."""
    given = {"config": config, "state_dict": state, "dtype": dtype}
    try:
        module, found = kind.from_pretrained(None, **given, output_loading_info=True)
    except RuntimeError as error:
        raise _other_shapes(part, source) from error
    _agree(part, found["missing_keys"], found["unexpected_keys"], source)
    return module


def lay(module: Any, state: Weights, part: str, source: str, whole: bool = False) -> Any:
    """Give a part the weights that the checkpoint holds, all of it where it is to be `whole`.

    Raises ModelError for weights that are missing, surplus or of other shapes.
    """
    try:
        found = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise _other_shapes(part, source) from error
    _agree(part, found.missing_keys if whole else (), found.unexpected_keys, source)
    return module


def _other_shapes(part: str, source: str) -> ModelError:
    return ModelError(f"weights of the checkpoint's {part} have other shapes than config.json says", source, CHOOSE)


def _agree(part: str, missing: Iterable[str], surplus: Iterable[str], source: str) -> None:
    """Raise ModelError where a checkpoint lacks weights of a part, or holds some that the part has no place for."""
    sides = {"lacks": sorted(missing), "has no place for": sorted(surplus)}
    told = [f"{what} {', '.join(names[:3])}{' and more' * (len(names) > 3)}" for what, names in sides.items() if names]
    if told:
        raise ModelError(f"the {part} of the checkpoint {' and '.join(told)}", source, CHOOSE)
