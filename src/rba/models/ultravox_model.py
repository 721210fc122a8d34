"""Ultravox by the layout of its weights: Whisper's encoder, a projector of stacked frames, any causal LM.

transformers has no such class and checkpoints bring theirs along as code; this one reads and writes the same folders
(github.com/fixie-ai/ultravox).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from rba.models.own_layout import part_config
from rba.models.own_model import OwnModel
from rba.models.whisper import DOWNSAMPLING, encoder_layer

SWIGLU = "swiglu"
EPSILON = 1e-6


class UltravoxConfig(PreTrainedConfig):
    """What a checkpoint's `config.json` says.

    `text_model_id` and `audio_model_id` name base models (as `rba.weights.resolve` takes them) whose configurations
    are read at once; without them `text_config` and `audio_config` are the configurations themselves. `hidden_size` is
    the width inside the projector, `stack_factor` how many frames of the tower make a token, `audio_latency_block_size`
    (frames of the tower) lets a frame hear no later block. `audio_token_index` is the token that stands for audio.
    """

    model_type = "ultravox"

    def __init__(
        self,
        audio_config: Any = None,
        text_config: Any = None,
        audio_model_id: str | None = None,
        text_model_id: str | None = None,
        audio_token_index: int | None = None,
        hidden_size: int = 4096,
        stack_factor: int = 8,
        projector_act: str = SWIGLU,
        projector_ln_mid: bool = False,
        num_projector_layers: int = 0,
        audio_latency_block_size: int | None = None,
        **kwargs: Any,
    ):
        self.audio_model_id, self.text_model_id = audio_model_id, text_model_id
        self.audio_config = part_config(audio_config, audio_model_id, "whisper")
        self.text_config = part_config(text_config, text_model_id, "llama")
        self.audio_token_index = audio_token_index
        self.hidden_size, self.stack_factor = hidden_size, stack_factor
        self.projector_act, self.projector_ln_mid = projector_act, projector_ln_mid
        self.num_projector_layers = num_projector_layers
        self.audio_latency_block_size = audio_latency_block_size
        super().__init__(**kwargs)

    def get_text_config(self, *args: Any, **kwargs: Any) -> Any:
        """The LLM's, also where the base model is one that sees as well."""
        return self.text_config.get_text_config(*args, **kwargs)


class Projector(nn.Module):
    """Stacked frames [..., S * F] -> rows of the LLM [..., D]: norm, linear, activation, linear.

    A second norm stands before the last linear (`projector_ln_mid`, from version 0.5 on) or behind it. SwiGLU gates
    the first half of its input by the second.
    """

    def __init__(self, config: UltravoxConfig):
        super().__init__()
        stacked, gated = config.stack_factor * config.audio_config.d_model, config.projector_act == SWIGLU
        inner, out = config.hidden_size // 2 if gated else config.hidden_size, config.get_text_config().hidden_size
        self.gated, self.act = gated, ACT2FN["silu" if gated else config.projector_act]
        self.ln_pre = nn.RMSNorm(stacked, eps=EPSILON)
        self.linear_1 = nn.Linear(stacked, config.hidden_size, bias=False)
        self.ln_mid = nn.RMSNorm(inner, eps=EPSILON) if config.projector_ln_mid else nn.Identity()
        self.linear_2 = nn.Linear(inner, out, bias=False)
        self.ln_post = nn.Identity() if config.projector_ln_mid else nn.RMSNorm(out, eps=EPSILON)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of the LLM, each from its own stack of frames."""
        hidden = self.linear_1(self.ln_pre(rows))
        if self.gated:
            values, gates = hidden.chunk(2, -1)
            hidden = values * self.act(gates)
        else:
            hidden = self.act(hidden)
        return self.ln_post(self.linear_2(self.ln_mid(hidden)))


class UltravoxModel(OwnModel):
    """The whole model; its parts have the names that the weights of a checkpoint begin with.

    `tower` and `llm` are loaded parts; what is not given is made of the configuration, with random weights.
    """

    config_class = UltravoxConfig
    llm_part = "language_model"

    def __init__(self, config: UltravoxConfig, tower: Any = None, llm: Any = None):
        super().__init__(config)
        self.audio_tower = tower or WhisperEncoder(config.audio_config)
        self.multi_modal_projector = Projector(config)
        self.language_model = llm or AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    def forward(
        self,
        input_ids: Any = None,
        input_features: Any = None,
        frames: Any = None,
        inputs_embeds: Any = None,
        **kwargs: Any,
    ) -> Any:
        """What the LLM gives for token ids [B, T] in which the audio token stands where audio is to be.

        Audio comes in chunks: mels [C, M, T] and how many frames of each are real [C], in the order of their tokens.
        """
        heard = (
            None
            if input_features is None
            else lambda: self.multi_modal_projector(self.hear(input_features, frames)[None])
        )
        return self.read(input_ids, inputs_embeds, heard, **kwargs)

    def hear(self, mel_CMT: torch.Tensor, frames_C: torch.Tensor) -> torch.Tensor:
        """What the projector reads [R, S * F] of all chunks, one after another."""
        block, factor = self.config.audio_latency_block_size, self.config.stack_factor
        states_CTD = encode(self.audio_tower, mel_CMT, frames_C, block)
        stacked_CRF = stack(states_CTD, factor)
        return torch.cat([rows[: tokens(int(n), factor)] for rows, n in zip(stacked_CRF, frames_C)])


def encode(encoder: Any, mel_CMT: torch.Tensor, frames_C: torch.Tensor, block: int | None = None) -> torch.Tensor:
    """States [C, T', F] of Whisper's encoder over mels of up to 30 s, pads unheard; T' is half of T, rounded up."""
    mel_CMT = mel_CMT.to(encoder.conv1.weight.dtype)
    states_CTD = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel_CMT)))).transpose(1, 2)
    step_T = torch.arange(states_CTD.shape[1], device=states_CTD.device)
    real_CT = step_T < ((frames_C + 1) // DOWNSAMPLING).to(step_T)[:, None]
    mask_C1QK = real_CT[:, None, None, :].expand(-1, 1, len(step_T), -1)
    if block:
        mask_C1QK = mask_C1QK & (step_T[:, None] // block >= step_T // block)
    states_CTD = states_CTD + encoder.embed_positions.weight[: len(step_T)]
    for layer in encoder.layers:
        states_CTD = encoder_layer(layer, states_CTD, mask_C1QK)
    return encoder.layer_norm(states_CTD)


def stack(states_CTD: torch.Tensor, factor: int) -> torch.Tensor:
    """Each `factor` states side by side [C, T / factor, factor * F]; zeros fill the last ones up."""
    chunks, steps, width = states_CTD.shape
    padded = F.pad(states_CTD, (0, 0, 0, -steps % factor))
    return padded.reshape(chunks, -1, factor * width)


def tokens(frames: int, factor: int) -> int:
    """How many tokens a chunk of so many frames of mels takes."""
    return -(-frames // (DOWNSAMPLING * factor))
