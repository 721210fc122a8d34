"""Opening SALMONN checkpoints: the publisher's files that `config.json` names, or a saved whole model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, WhisperFeatureExtractor

from rba.errors import ModelError
from rba.models.bridge import file_of
from rba.models.own_layout import (
    CHOOSE,
    Weights,
    generation_config,
    lay,
    open_llm,
    open_whisper,
    parted,
    weights_by_part,
)
from rba.models.salmonn_checkpoint import BEATS, LLM, merge, read_beats, read_checkpoint
from rba.models.salmonn_model import FRAMES_A_SECOND, SalmonnConfig, SalmonnModel
from rba.models.salmonn_turns import SalmonnTurns
from rba.weights.resolve import resolve

WHISPER, CONNECTOR = "ears.speech_encoder", "connector"
NORMS = ("ears.ln_speech", "ears.ln_audio")
PARTS = (LLM, WHISPER, BEATS, *NORMS, CONNECTOR)
TITLE = "a SALMONN"
BASES = ("llama_path", "whisper_path", "beats_path")
"""What a checkpoint of trained parts alone stands on."""


def open_parts(source: str, dtype: torch.dtype) -> tuple[SalmonnModel, SalmonnTurns]:
    """The model and its processor from a folder or hub id; the models and files that it names are opened, too.

    A base model is overlaid with what the checkpoint holds of it, and its adapter of the LLM is merged into the
    weights. Raises ModelError for files and weights that are missing, weights that are surplus or of other shapes, and
    for a form that is not known here; OSError for what cannot be reached.
    """
    config: Any = SalmonnConfig.from_pretrained(source)
    _check(config, source)
    processor = _processor(config, source)
    config.audio_token_index = processor.tokenizer.convert_tokens_to_ids(processor.audio_token)
    held, adapter = _held(config, source)
    tower = open_whisper(config.encoder_config, config.whisper_path, held[WHISPER], dtype, WHISPER, source)
    if config.beats_path:
        config.beats_config, base = read_beats(_file(config.beats_path, "beats_path", source))
        held[BEATS] = base | held[BEATS]
    llm = open_llm(config.llm_config, config.llama_path, held[LLM], dtype, LLM, source, "SALMONN")
    if config.ckpt:
        merge(llm, adapter, config.lora_alpha, source)
    # what is saved of this model holds them
    config.llama_path = config.whisper_path = config.beats_path = config.ckpt = None
    core = SalmonnModel(config, tower, llm)
    for part in (BEATS, *NORMS, CONNECTOR):
        lay(core.get_submodule(part), held[part], part, source, whole=True)
    core.ears.to(dtype)
    core.generation_config = generation_config(source, llm)
    return core, processor


def _check(config: Any, source: str) -> None:
    if config.ckpt and (missing := [key for key in BASES if not getattr(config, key)]):
        fix = "name it there, beside ckpt"
        raise ModelError(f"config.json of this SALMONN names no {' and no '.join(missing)}", source, fix)
    kind = config.encoder_config.model_type
    if kind != "whisper":
        raise ModelError(f"the speech encoder of this SALMONN is no Whisper but {kind}", source, CHOOSE)
    if not config.window_level_Qformer:
        raise ModelError("the Q-Former of this SALMONN reads no windows, which rba does not know", source, CHOOSE)
    longest = config.encoder_config.max_source_positions / FRAMES_A_SECOND
    for key in ("second_per_window", "second_stride"):
        seconds = getattr(config, key)
        if not isinstance(seconds, int | float) or not 1 / FRAMES_A_SECOND <= seconds <= longest:
            least = f"{1 / FRAMES_A_SECOND:g}"
            raise ModelError(f"{key} of its config.json is not from {least} to {longest:g}: {seconds}", source, CHOOSE)
    queries = config.num_speech_query_token
    if not isinstance(queries, int) or queries < 1:
        raise ModelError(f"num_speech_query_token of its config.json is not 1 or more: {queries}", source, CHOOSE)


def _held(config: Any, source: str) -> tuple[dict[str, Weights], Weights]:
    """The checkpoint's weights by part, and those of its adapter."""
    if config.ckpt is None:
        return weights_by_part(source, PARTS, TITLE), {}
    weights, adapter = read_checkpoint(_file(config.ckpt, "ckpt", source))
    return parted(weights, PARTS, TITLE, source), adapter


def _file(name: str, key: str, source: str) -> str:
    """Where a file that `config.json` names lies: beside it, so that a model's mark knows it (`rba.weights.mark`)."""
    if Path(name).name != name:
        fix = "put it there, or a link to it, and give its bare name"
        raise ModelError(f"{key} names no file beside its config.json: {name}", source, fix)
    if not (found := file_of(source, name)):
        raise ModelError(
            f"{key} of its config.json names no file: {name}", source, "download it, and put it beside config.json"
        )
    return found


def _processor(config: Any, source: str) -> SalmonnTurns:
    """The checkpoint's own parts, or those of its base models where it brings none along."""
    hears = source if file_of(source, "preprocessor_config.json") else resolve(config.whisper_path or source)
    writes = source if file_of(source, "tokenizer_config.json") else resolve(config.llama_path or source)
    if file_of(writes, "tokenizer.model") and not (file_of(writes, "tokenizer.json") or find_spec("sentencepiece")):
        raise ModelError("its LLM's tokenizer.model needs sentencepiece", writes, "pip install sentencepiece")
    tokenizer = AutoTokenizer.from_pretrained(writes, config=config.llm_config)
    return SalmonnTurns(WhisperFeatureExtractor.from_pretrained(hears), tokenizer, config.rows)
