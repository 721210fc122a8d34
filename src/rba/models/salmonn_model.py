"""SALMONN by the layout of its weights: Whisper's encoder beside BEATs, a Q-Former over windows, any causal LM.

transformers has no such class; this one reads the files of its publisher (github.com/bytedance/SALMONN).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Blip2QFormerConfig,
    Blip2QFormerModel,
    PreTrainedConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from rba.models.beats import Beats, BeatsConfig
from rba.models.own_layout import part_config
from rba.models.own_model import OwnModel

FRAMES_A_SECOND = 50
"""Of Whisper's encoder; BEATs makes as many, of 6.25 times 8 patches."""


class SalmonnConfig(PreTrainedConfig):
    """What `config.json` says, by the names of the publisher's `configs/decode_config.yaml` where that has them.

    `llama_path` and `whisper_path` name base models (as `rba.weights.resolve` takes them) whose configurations are read
    at once; without them `llm_config` and `encoder_config` are the configurations themselves. `ckpt` and `beats_path`
    are the publisher's files beside `config.json`; without them the weights are in safetensors. A window of
    `second_per_window` seconds, every `second_stride` seconds, takes `num_speech_query_token` rows. The adapter in
    `ckpt` counts `lora_alpha` by its rank. `qformer_config` holds sizes other than those of BERT base with two layers.
    """

    model_type = "salmonn"

    def __init__(
        self,
        llama_path: str | None = None,
        whisper_path: str | None = None,
        beats_path: str | None = None,
        ckpt: str | None = None,
        second_per_window: float = 0.333333,
        second_stride: float = 0.333333,
        num_speech_query_token: int = 1,
        lora_alpha: float = 32,
        window_level_Qformer: bool = True,
        qformer_config: Any = None,
        llm_config: Any = None,
        encoder_config: Any = None,
        beats_config: Any = None,
        audio_token_index: int | None = None,
        **kwargs: Any,
    ):
        self.llama_path, self.whisper_path, self.beats_path, self.ckpt = llama_path, whisper_path, beats_path, ckpt
        self.llm_config = part_config(llm_config, llama_path, "llama")
        self.encoder_config = part_config(encoder_config, whisper_path, "whisper")
        given = isinstance(beats_config, BeatsConfig)
        self.beats_config = beats_config if given else BeatsConfig.from_dict(beats_config or {})
        self.second_per_window, self.second_stride = second_per_window, second_stride
        self.num_speech_query_token, self.lora_alpha = num_speech_query_token, lora_alpha
        self.window_level_Qformer, self.qformer_config = window_level_Qformer, dict(qformer_config or {})
        self.audio_token_index = audio_token_index
        super().__init__(**kwargs)

    def get_text_config(self, *args: Any, **kwargs: Any) -> Any:
        """The LLM's."""
        return self.llm_config.get_text_config(*args, **kwargs)

    @property
    def windows(self) -> tuple[int, int]:
        """How many frames a window has, and how many lie between the beginnings of two."""
        return round(FRAMES_A_SECOND * self.second_per_window), round(FRAMES_A_SECOND * self.second_stride)

    @property
    def rows(self) -> int:
        """How many rows for the LLM a clip takes, whatever its length."""
        length, stride = self.windows
        return self.num_speech_query_token * (1 + (self.encoder_config.max_source_positions - length) // stride)


class Ears(nn.Module):
    """What hears: Whisper's encoder and BEATs, each under a norm, side by side [B, T, F].

    Whisper hears 30 s, silence included, and BEATs the clip alone: beside what follows that stand zeros.
    """

    def __init__(self, config: SalmonnConfig, speech_encoder: Any = None):
        super().__init__()
        self.speech_encoder = speech_encoder or WhisperEncoder(config.encoder_config)
        self.beats = Beats(config.beats_config)
        self.ln_speech = nn.LayerNorm(config.encoder_config.d_model)
        self.ln_audio = nn.LayerNorm(config.beats_config.encoder_embed_dim)

    def forward(self, mel_BMT: torch.Tensor, fbank_BTM: torch.Tensor, frames_B: torch.Tensor) -> torch.Tensor:
        """What both hear of clips of which so many frames of the filter banks are real."""
        speech = self.ln_speech(self.speech_encoder(mel_BMT).last_hidden_state)
        audio = speech.new_zeros(*speech.shape[:2], *self.ln_audio.normalized_shape)
        for frames in frames_B.unique().tolist():
            alike = frames_B == frames
            heard = self.ln_audio(self.beats(fbank_BTM[alike, :frames].to(speech)))
            audio[alike, : heard.shape[1]] = heard
        return torch.cat([speech, audio], -1)


class Connector(nn.Module):
    """What is heard [B, T, F] -> rows of the LLM [B, R, D]: learnt queries attend to each window in a Q-Former."""

    def __init__(self, config: SalmonnConfig):
        super().__init__()
        heard = config.encoder_config.d_model + config.beats_config.encoder_embed_dim
        sizes = {"num_hidden_layers": 2, "cross_attention_frequency": 1, **config.qformer_config}
        self.qformer: Any = Blip2QFormerModel(Blip2QFormerConfig(**sizes, encoder_hidden_size=heard))
        width = self.qformer.config.hidden_size
        self.query_tokens = nn.Parameter(0.02 * torch.randn(1, config.num_speech_query_token, width))
        self.proj = nn.Linear(width, config.get_text_config().hidden_size)
        self.windows = config.windows

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The rows of every clip; frames that fill no window are not read."""
        windows_BWTF = states.unfold(1, *self.windows).transpose(2, 3)
        windows_NTF = windows_BWTF.flatten(0, 1)
        asked_NQF = self.query_tokens.expand(len(windows_NTF), -1, -1)
        read_NQF = self.qformer(asked_NQF, encoder_hidden_states=windows_NTF).last_hidden_state
        return self.proj(read_NQF).unflatten(0, windows_BWTF.shape[:2]).flatten(1, 2)


class SalmonnModel(OwnModel):
    """The whole model; its parts have the names that the weights of a saved one begin with.

    `speech_encoder` and `llm` are loaded parts; what is not given is made of the configuration, with random weights.
    """

    config_class = SalmonnConfig
    llm_part = "llama_model"

    def __init__(self, config: SalmonnConfig, speech_encoder: Any = None, llm: Any = None):
        super().__init__(config)
        self.llama_model = llm or AutoModelForCausalLM.from_config(config.llm_config)
        self.ears = Ears(config, speech_encoder)
        self.connector = Connector(config)
        self.post_init()

    def forward(
        self,
        input_ids: Any = None,
        input_features: Any = None,
        fbank: Any = None,
        frames: Any = None,
        inputs_embeds: Any = None,
        **kwargs: Any,
    ) -> Any:
        """What the LLM gives for token ids [B, T] in which the audio token stands where audio is to be.

        Audio comes as mels [C, M, 2 T'], and as filter banks [C, T, 128] with how many frames of each are real [C], in
        the order of its tokens.
        """
        heard = None if input_features is None else lambda: self.connector(self.ears(input_features, fbank, frames))
        return self.read(input_ids, inputs_embeds, heard, **kwargs)
