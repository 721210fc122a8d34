"""Opening SpeechLM checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rba.errors import ModelError, RbaError
from rba.lm.number_format import AUTO, pick_device
from rba.lm.quantization import NONE, ROUNDED
from rba.models import folder_of
from rba.models.adapters import FOLDER, load_lora
from rba.models.compact import CompactSpeechLM
from rba.models.families import PROJECTOR, is_published
from rba.models.speechlm import SpeechLM
from rba.models.told import told
from rba.weights.opening import reason_of


def connector_files(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What `speechlm.json` of a checkpoint folder says, and the connector's weights in float32.

    Raises ModelError where the folder is no checkpoint, or a damaged one.
    """
    from safetensors.torch import load_file

    if not (folder / "speechlm.json").is_file() or not (folder / "connector.safetensors").is_file():
        fix = 'give a folder that `rba connect` or `rba align` wrote, or "shipped"'
        raise ModelError("no SpeechLM checkpoint here", str(folder), fix)
    names = facts_of(folder)
    with undamaged(folder / "speechlm.json"):
        if lacking := {"connector", "encoder", "llm"} - names.keys():
            raise KeyError(", ".join(sorted(lacking)))
    with undamaged(folder / "connector.safetensors"):
        weights = load_file(folder / "connector.safetensors")
    return names, {k: v.float() if v.is_floating_point() else v.long() for k, v in weights.items()}


def load_speechlm(
    name: str | Path, dtype: str = AUTO, device: torch.device | None = None, quantize: str = NONE
) -> SpeechLM:
    """Open a checkpoint folder of either kind, "shipped", or an audio LM as published (a folder or hub id).

    LLM and encoder are in `dtype`, the connector in float32. The LLM (of an audio LM, all of it) is put on `device`, or
    on CUDA where there is one. A checkpoint made for a task is told it. The LLM is rounded as `quantize` says
    (`rba.lm.quantization`); "none" leaves a checkpoint as it was trained, on packed weights or not. Raises ModelError
    where it is none of these or damaged, or its parts do not fit together.
    """
    folder = folder_of(name)
    if is_published(name):
        from rba.models.audio_lm import open_audio_lm

        source = str(folder) if folder.is_dir() else str(name)
        return open_audio_lm(source, dtype, device=device, quantize=quantize)
    load = _load_audio_lm if (folder / PROJECTOR).is_file() else _load_compact
    facts = facts_of(folder)
    rounded = quantize if quantize != NONE else facts.get("quantize", NONE)
    return told(load(folder, str(name), dtype, device, rounded), facts.get("task", ""))


def load_merged(folder: Path) -> SpeechLM:
    """A checkpoint in float32 whose adapter can be merged: packed weights come as what they stand for, unpacked."""
    packed = facts_of(folder).get("quantize", NONE) != NONE
    return load_speechlm(folder, "float32", quantize=ROUNDED if packed else NONE)


def facts_of(folder: Path) -> dict[str, Any]:
    """What `speechlm.json` of a checkpoint folder says; nothing where there is none.

    Raises ModelError where the file is damaged, and where the adapter that it tells of is gone.
    """
    path = folder / "speechlm.json"
    if not path.is_file():
        return {}
    with undamaged(path):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("it names no models")
    with undamaged(folder):
        if facts.get("adapter") and not (folder / FOLDER).is_dir():
            raise OSError(f"its folder {FOLDER} is missing")
    return facts


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Raise ModelError where what a checkpoint's file or folder `path` holds cannot be read or lacks something."""
    from safetensors import SafetensorError

    try:
        yield
    except (RbaError, torch.OutOfMemoryError):
        raise
    except (LookupError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        fix = "copy the whole checkpoint folder again, or make it anew with `rba connect` or `rba align`"
        raise ModelError(f"this checkpoint is damaged: {reason_of(error)}", str(path), fix) from error


def _load_audio_lm(folder: Path, name: str, dtype: str, device: torch.device | None, quantize: str) -> SpeechLM:
    """An aligned audio LM: its base by name, then its own projector and adapter."""
    from rba.models.audio_lm import open_audio_lm, restore

    facts = facts_of(folder)
    with undamaged(folder / "speechlm.json"):
        base = facts["model"]
    model = open_audio_lm(base, dtype, name, device, quantize)
    with undamaged(folder):
        restore(model, folder)
    return model


def _load_compact(folder: Path, name: str, dtype: str, device: torch.device | None, quantize: str) -> CompactSpeechLM:
    """The compact model: its encoder and LLM by name, then its own connector and adapter."""
    from rba.lm.load import load_lm
    from rba.models.connector import Connector, ConnectorConfig
    from rba.models.encoder import load_encoder

    names, state = connector_files(folder)
    lm = load_lm(names["llm"], dtype, device, quantize)
    encoder = load_encoder(names["encoder"], dtype)
    table = lm.table()
    with undamaged(folder):
        shape, ids = ConnectorConfig(**names["connector"]), state["ids_V"].tolist()
    connector = Connector(shape, ids, table)
    try:
        connector.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError("the connector does not fit its encoder or LLM", str(folder), "train it again") from error
    if (folder / FOLDER).is_dir():
        with undamaged(folder / FOLDER):
            load_lora(lm, folder / FOLDER)
    connector = connector.to(pick_device()).eval().requires_grad_(False)
    return CompactSpeechLM(encoder, connector, lm, name, names["encoder"])
