"""Opening DeSTA checkpoints, and DeSTA as a SpeechLM: beside what its connector makes of a clip it reads the words.

The features of a clip are the states of Whisper's layers and, below them, a row for each token of the words, with the
digits of its id to the base of 256: whole numbers in every precision, so that features can be kept like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, GenerationConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from rba.data.audio import SAMPLE_RATE
from rba.errors import ModelError
from rba.lm.preamble import System
from rba.lm.quiet import quiet
from rba.models.audio_lm import AudioLM
from rba.models.bridge import file_of
from rba.models.clips import Clips, clips_of
from rba.models.desta_model import LAYERS, QFORMER, SCRIBE, DestaConfig, DestaModel
from rba.models.desta_turns import DestaTurns
from rba.models.own_layout import CHOOSE, Weights, generation_config, lay, made, open_llm, weights_by_part
from rba.models.worded import DIGITS, unworded, worded
from rba.weights.resolve import resolve

WHISPER, CONNECTOR, LLM = "perception.whisper", "perception.connector", "llm_model"
MOST_WORDS = 128
"""Tokens of Whisper's that the words of a clip take at most; half of what a smaller decoder can write."""


class Desta(AudioLM):
    """A DeSTA as a SpeechLM; see `rba.models.speechlm.SpeechLM` for the methods."""

    @torch.no_grad()
    def listen(self, features: Sequence[Clips], system: System = None) -> tuple[list[torch.Tensor], Any]:
        """`prompts`, and the words that Whisper wrote down."""
        ids = [[self._parted(clip)[1] for clip in clips_of(heard)] for heard in features]
        words = [" ".join(filter(None, map(self.lm.tokenizer.decode, clips))) for clips in ids]
        return self.prompts(features, system), words

    def inputs(self, heard: np.ndarray | Sequence[np.ndarray], system: System = None) -> dict[str, torch.Tensor]:
        """What the model's own forward takes for one spoken request of a clip, or of several, on its device."""
        waves = clips_of(heard)
        return self._inputs(waves, system, [self._words(self._hear(wave)) for wave in waves])

    def _bare_inputs(self, system: System, clips: int = 1) -> dict[str, torch.Tensor]:
        return self._inputs([np.zeros(SAMPLE_RATE, np.float32)] * clips, system, [""] * clips)

    def _inputs(self, waves: Sequence[np.ndarray], system: System, words: Sequence[str]) -> dict[str, torch.Tensor]:
        text, text_kwargs = self._turn(system, len(waves))
        inputs = self.processor(text=[text], audio=waves, words=words, text_kwargs=text_kwargs)
        return {name: self._here(value) for name, value in inputs.items()}

    @torch.no_grad()
    def encode(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """What the connector reads of each clip, and the tokens of its words [4 T + W_i, F], one clip at a time."""
        return [self._read(wave).cpu() for wave in waves]

    def _read(self, wave: np.ndarray) -> torch.Tensor:
        states = self._hear(wave)
        ids = self.lm.tokenizer(self._words(states), add_special_tokens=False)["input_ids"]
        rows = states.new_zeros(len(ids), states.shape[-1] - DIGITS)
        written = worded(rows, torch.tensor(ids, dtype=torch.long, device=rows.device))
        return torch.cat([states, written])

    @torch.no_grad()
    def _hear(self, wave: np.ndarray) -> torch.Tensor:
        """The states that the connector reads [4 T, F]."""
        return self.core.perception.hear(self._here(self.processor.mels([wave])))[0]

    def _rows(self, feature: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """The connector's rows of a clip, and the words."""
        states, ids = self._parted(feature)
        return torch.cat([self._project(states).to(words), self.lm.embed(ids)])

    def _parted(self, feature: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        """The states, and the token ids of the words."""
        heard = LAYERS * self.core.config.encoder_config.max_source_positions
        return feature[:heard], unworded(feature[heard:])[1].tolist()

    def _words(self, states: torch.Tensor) -> str:
        """What Whisper writes, greedily, to what its encoder made of a clip."""
        whisper = self.core.perception.whisper
        most = min(MOST_WORDS, whisper.config.max_target_positions // 2)
        with torch.no_grad(), quiet():
            last = whisper.get_encoder().layer_norm(states.chunk(LAYERS)[-1])
            ids = whisper.generate(encoder_outputs=BaseModelOutput(last[None]), max_new_tokens=most)
        return self.processor.scribe.batch_decode(ids, skip_special_tokens=True)[0].strip()


def open_parts(source: str, dtype: torch.dtype) -> tuple[DestaModel, DestaTurns]:
    """The model and its processor from a folder or hub id; the base models that it names are opened, too.

    A base model is overlaid with what the checkpoint holds of it. Raises ModelError for weights that are missing,
    surplus, of other shapes or an adapter's, and for a connector or tower of another kind; OSError for what cannot be
    reached.
    """
    config: Any = DestaConfig.from_pretrained(source)
    _check(config, source)
    processor = _processor(config, source)
    config.audio_token_index = processor.tokenizer.convert_tokens_to_ids(processor.audio_token)
    held = weights_by_part(source, (WHISPER, CONNECTOR, LLM), "a DeSTA")
    whisper = _whisper(config, held[WHISPER], dtype, source)
    llm = open_llm(config.llm_config, config.llm_model_id, held[LLM], dtype, LLM, source, "DeSTA")
    # what is saved of this model holds them
    config.llm_model_id = config.encoder_model_id = None
    core = DestaModel(config, whisper, llm)
    lay(core.perception.connector, held[CONNECTOR], CONNECTOR, source, whole=True)
    core.generation_config = generation_config(source, llm)
    return core, processor


def _check(config: Any, source: str) -> None:
    if config.connector_mode != QFORMER:
        raise ModelError(f"the connector of this DeSTA is no Q-Former but {config.connector_mode}", source, CHOOSE)
    kind, layers = config.encoder_config.model_type, getattr(config.encoder_config, "encoder_layers", 0)
    if kind != "whisper" or layers % LAYERS:
        what = f"the tower of this DeSTA is no Whisper with layers in {LAYERS} equal parts but {kind}, {layers} layers"
        raise ModelError(what, source, CHOOSE)
    if config.use_lora:
        fix = "merge it into the weights and save the model, then name that folder"
        raise ModelError("the audio LM carries an adapter of its own", source, fix)


def _processor(config: Any, source: str) -> DestaTurns:
    """The checkpoint's own parts, or those of its base models where it brings none along."""
    hears = source if file_of(source, "preprocessor_config.json") else resolve(config.encoder_model_id or source)
    ears = WhisperFeatureExtractor.from_pretrained(hears)
    writes = source if file_of(source, "tokenizer_config.json") else resolve(config.llm_model_id or source)
    tokenizer = AutoTokenizer.from_pretrained(writes, config=config.llm_config)
    if file_of(source, "tokenizer_config.json", SCRIBE):
        scribe = AutoTokenizer.from_pretrained(source, subfolder=SCRIBE)
    else:
        scribe = AutoTokenizer.from_pretrained(resolve(config.encoder_model_id or source))
    return DestaTurns(ears, tokenizer, scribe, config.prompt_size, config.audio_locator)


def _whisper(config: Any, state: Weights, dtype: torch.dtype, source: str) -> Any:
    if config.encoder_model_id is None:
        whole = made(WhisperForConditionalGeneration, config.encoder_config, state, dtype, WHISPER, source)
        if writes := file_of(source, "generation_config.json", SCRIBE):
            # by its folder: with subfolder= transformers reads the one beside config.json
            whole.generation_config = GenerationConfig.from_pretrained(Path(writes).parent)
        return whole
    place = resolve(config.encoder_model_id)
    whisper: Any = WhisperForConditionalGeneration.from_pretrained(place, config=config.encoder_config, dtype=dtype)
    return lay(whisper, state, WHISPER, source)
