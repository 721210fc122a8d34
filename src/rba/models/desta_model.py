"""DeSTA2.5-Audio by the layout of its weights: Whisper, a Q-Former that reads four of its layers, any causal LM.

transformers has no such class; this one reads the folders of its publisher (github.com/kehanlu/DeSTA2.5-Audio).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    PreTrainedConfig,
    WhisperForConditionalGeneration,
)
from transformers.models.bert.modeling_bert import BertEncoder

from rba.models.own_layout import part_config
from rba.models.own_model import OwnModel
from rba.models.whisper import encoder_layer

QFORMER = "qformer_1"
SCRIBE = "whisper"
"""The folder, in a saved model's, of what Whisper writes with: its generation settings and tokenizer."""
LAYERS = 4
"""Of the tower, how many are read: those that end its quarters."""


class DestaConfig(PreTrainedConfig):
    """What a checkpoint's `config.json` says.

    `llm_model_id` and `encoder_model_id` name base models (as `rba.weights.resolve` takes them) whose configurations
    are read at once; without them `llm_config` and `encoder_config` are the configurations themselves. `prompt_size` is
    how many rows a clip takes, `audio_locator` the token that stands for them.
    """

    model_type = "desta25"

    def __init__(
        self,
        llm_model_id: str | None = None,
        encoder_model_id: str | None = None,
        connector_mode: str = QFORMER,
        qformer_num_hidden_layers: int = 2,
        prompt_size: int = 64,
        use_lora: bool = False,
        audio_locator: str = "<|AUDIO|>",
        llm_config: Any = None,
        encoder_config: Any = None,
        audio_token_index: int | None = None,
        **kwargs: Any,
    ):
        self.llm_model_id, self.encoder_model_id = llm_model_id, encoder_model_id
        self.llm_config = part_config(llm_config, llm_model_id, "llama")
        self.encoder_config = part_config(encoder_config, encoder_model_id, "whisper")
        self.connector_mode, self.qformer_num_hidden_layers = connector_mode, qformer_num_hidden_layers
        self.prompt_size, self.use_lora = prompt_size, use_lora
        self.audio_locator, self.audio_token_index = audio_locator, audio_token_index
        super().__init__(**kwargs)

    def get_text_config(self, *args: Any, **kwargs: Any) -> Any:
        """The LLM's."""
        return self.llm_config.get_text_config(*args, **kwargs)


class Connector(nn.Module):
    """States of four layers [B, 4 T, F], one layer after another -> `prompt_size` rows of the LLM [B, P, D].

    Learnt queries, other ones for each layer, attend to its states in one Q-Former; every row is a mean over the
    layers with weights of its own, under a norm and a linear layer.
    """

    def __init__(self, config: DestaConfig):
        super().__init__()
        width, rows = config.encoder_config.d_model, config.prompt_size
        self.layer_prompts = nn.ParameterList([nn.Parameter(torch.randn(1, rows, width)) for _ in range(LAYERS)])
        self.layer_weights = nn.Parameter(torch.zeros(rows, LAYERS))
        sizes: dict[str, Any] = {
            "num_hidden_layers": config.qformer_num_hidden_layers,
            "num_attention_heads": config.encoder_config.encoder_attention_heads,
            "hidden_size": width,
            "add_cross_attention": True,
            "is_decoder": True,
            "attn_implementation": "eager",  # the others would hide later queries from earlier ones
        }
        self.qformer = BertEncoder(BertConfig(**sizes))
        self.proj = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.get_text_config().hidden_size))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The rows of every clip."""
        read = []
        for states_BTF, queries_1PF in zip(states.chunk(LAYERS, 1), self.layer_prompts):
            asked_BPF = queries_1PF.expand(len(states), -1, -1)
            read.append(self.qformer(asked_BPF, encoder_hidden_states=states_BTF).last_hidden_state)
        shares_PL = self.layer_weights.softmax(-1)
        return self.proj(torch.einsum("lbpf,pl->bpf", torch.stack(read), shares_PL))


class Perception(nn.Module):
    """What hears: a whole Whisper, whose encoder the connector reads and which writes down what was said."""

    def __init__(self, config: DestaConfig, whisper: Any = None):
        super().__init__()
        self.whisper = whisper or WhisperForConditionalGeneration(config.encoder_config)
        self.connector = Connector(config)

    def hear(self, mel_BMT: torch.Tensor) -> torch.Tensor:
        """States [B, 4 T', F] of the layers that are read, before the last norm; mels of 30 s, silence included."""
        encoder = self.whisper.get_encoder()
        states = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel_BMT.to(encoder.conv1.weight.dtype)))))
        states_BTF = states.transpose(1, 2) + encoder.embed_positions.weight
        quarter, kept = len(encoder.layers) // LAYERS, []
        for number, layer in enumerate(encoder.layers, 1):
            states_BTF = encoder_layer(layer, states_BTF)
            if number % quarter == 0:
                kept.append(states_BTF)
        return torch.cat(kept[-LAYERS:], 1)


class DestaModel(OwnModel):
    """The whole model; its parts have the names that the weights of a checkpoint begin with.

    `whisper` and `llm` are loaded parts; what is not given is made of the configuration, with random weights.
    """

    config_class = DestaConfig
    llm_part = "llm_model"

    def __init__(self, config: DestaConfig, whisper: Any = None, llm: Any = None):
        super().__init__(config)
        self.llm_model = llm or AutoModelForCausalLM.from_config(config.llm_config)
        self.perception = Perception(config, whisper)
        self.post_init()

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Write the whole model, and how its Whisper writes, as transformers writes one of its own."""
        super().save_pretrained(save_directory, *args, **kwargs)
        self.perception.whisper.generation_config.save_pretrained(Path(save_directory) / SCRIBE)

    def forward(
        self, input_ids: Any = None, input_features: Any = None, inputs_embeds: Any = None, **kwargs: Any
    ) -> Any:
        """What the LLM gives for token ids [B, T] in which the audio token stands where audio is to be.

        Audio comes as mels [C, M, 2 T'], in the order of its tokens.
        """
        heard = (
            None if input_features is None else lambda: self.perception.connector(self.perception.hear(input_features))
        )
        return self.read(input_ids, inputs_embeds, heard, **kwargs)
