"""What stands between an audio LM's tower and its LLM, and what must be seen to on the way."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rba.models.families import Family

SAFETENSORS = "model.safetensors"


def class_of(family: Family) -> Any:
    """The class of a family's models; None where the installed transformers lacks it."""
    module, _, name = family.model_class.rpartition(":")
    return getattr(importlib.import_module(module or "transformers"), name, None)


def lacking(family: Family) -> str:
    """Why the installed transformers does not work with a family; "" where it does."""
    import transformers

    here = transformers.__version__
    if class_of(family) is None:
        return f"transformers {here} has no {family.title}"
    if _release(here) < _release(family.since):
        return f"{family.title} works with transformers {family.since} and newer, but this is {here}"
    return ""


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def part(core: Any, path: str) -> Any:
    """The module at `path`: some releases of transformers have no inner `model` around the parts."""
    older = path.removeprefix("model.")
    return core.get_submodule(older if hasattr(core, older.split(".")[0]) else path)


def projector_of(core: Any, family: Family) -> Any:
    """The module between tower and LLM; several, in their order, as one that holds their very weights."""
    from transformers.activations import ACT2FN

    if isinstance(family.projector, str):
        return part(core, family.projector)
    parts = [part(core, name) if "." in name else ACT2FN[name] for name in family.projector]
    return nn.Sequential(*parts)


def in_float32(core: Any, family: Family) -> None:
    """Put the projector in float32, since it may be trained, whatever the precision of what stands around it."""
    first(projector_of(core, family).float()).register_forward_pre_hook(_in(torch.float32), with_kwargs=True)
    if not family.tower:
        return
    # Phi-4 casts what its tower hears to the precision of the projector
    part(core, family.tower).register_forward_pre_hook(_in(core.dtype), with_kwargs=True)


def _in(dtype: Any) -> Any:
    """A hook that casts what a module is to read, the first of its arguments; token ids stay as they are."""

    def number(given: Any) -> Any:
        return given.to(dtype) if given is not None and given.is_floating_point() else given

    def cast(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (number(args[0]), *args[1:]), kwargs
        name = next(iter(kwargs))
        return args, {**kwargs, name: number(kwargs[name])}

    return cast


def first(projector: Any) -> Any:
    """The module that reads what the tower gives."""
    return projector[0] if isinstance(projector, nn.Sequential) else projector


def with_own_adapter(core: Any, family: Family, source: str) -> Any:
    """The model with the adapter that its checkpoint brings along merged in; as it is where there is none."""
    if not family.adapter or not file_of(source, "adapter_config.json", family.adapter):
        return core
    from peft import PeftModel

    return PeftModel.from_pretrained(core, source, subfolder=family.adapter).merge_and_unload()


def file_of(source: str, name: str, subfolder: str = "") -> str | None:
    """Where the file `name` of a folder or hub id lies, fetched if need be; None where there is none."""
    from transformers.utils import cached_file

    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    return cached_file(source, name, subfolder=subfolder, **quiet)


def weight_files(source: str) -> list[str]:
    """Where the safetensors files of a folder or hub id lie, fetched if need be. Raises OSError if one is missing."""
    from transformers.utils import cached_file

    index = file_of(source, f"{SAFETENSORS}.index.json")
    parts = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values() if index else [SAFETENSORS]
    return [str(cached_file(source, name)) for name in sorted(set(parts))]
