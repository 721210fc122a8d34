"""Whisper's encoder without the padding to 30 s: five seconds of speech cost five seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from rba.data.audio import SAMPLE_RATE

N_FFT, HOP = 400, 160
DOWNSAMPLING = 2


class WhisperEncoder(torch.nn.Module):
    """A frozen Whisper encoder over clips of any length up to 30 s; 50 frames a second.

    Pads are masked in the convolutions and in attention, so a clip's features do not depend on its batch.
    """

    filters_FM: torch.Tensor
    window: torch.Tensor

    def __init__(self, encoder: Any, n_mels: int):
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        self.encoder = encoder.eval().requires_grad_(False)
        filters = mel_filter_bank(1 + N_FFT // 2, n_mels, 0.0, 8000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("filters_FM", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    @property
    def width(self) -> int:
        """The size of a feature vector."""
        return int(self.encoder.config.d_model)

    @property
    def frame_rate(self) -> float:
        """Feature vectors of a second."""
        return SAMPLE_RATE / (HOP * DOWNSAMPLING)

    def log_mel(self, wave: torch.Tensor) -> torch.Tensor:
        """Whisper's log-mel spectrogram [T, M] of one clip [samples], T = samples // 160."""
        spectrum = torch.stft(wave, N_FFT, HOP, window=self.window, return_complex=True)
        power_FT = spectrum[:, : len(wave) // HOP].abs() ** 2
        mel_TM = (power_FT.T @ self.filters_FM).clamp(min=1e-10).log10()
        return (mel_TM.clamp(min=float(mel_TM.max()) - 8.0) + 4.0) / 4.0

    @torch.inference_mode()
    def forward(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Features [T_i, width] (float32) of 16 kHz mono clips, T_i about 50 a second."""
        device = self.filters_FM.device
        mels = [self.log_mel(torch.as_tensor(w, dtype=torch.float32, device=device)) for w in waves]
        lengths = torch.tensor([len(m) for m in mels], device=device)
        mel_BTM = torch.nn.utils.rnn.pad_sequence(mels, batch_first=True)
        states_BTD, lengths = self._convolve(mel_BTM, lengths)
        mask_BT = torch.arange(states_BTD.shape[1], device=device) < lengths[:, None]
        for layer in self.encoder.layers:
            states_BTD = encoder_layer(layer, states_BTD, mask_BT[:, None, None, :])
        states_BTD = self.encoder.layer_norm(states_BTD).float()
        return [states_BTD[i, :n].clone() for i, n in enumerate(lengths.tolist())]

    def _convolve(self, mel_BTM: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        dtype = self.encoder.conv1.weight.dtype
        steps = torch.arange(mel_BTM.shape[1], device=mel_BTM.device)
        real_B1T = (steps < lengths[:, None])[:, None].to(dtype)
        # GELU(bias) is not zero: without the mask the second convolution would see the pads of the first
        states = F.gelu(self.encoder.conv1(mel_BTM.transpose(1, 2).to(dtype))) * real_B1T
        states_BTD = F.gelu(self.encoder.conv2(states)).transpose(1, 2)
        positions = self.encoder.embed_positions.weight[: states_BTD.shape[1]]
        return states_BTD + positions.to(dtype), (lengths + 1) // DOWNSAMPLING


def encoder_layer(layer: Any, states_BTD: torch.Tensor, mask_B1QK: torch.Tensor | None = None) -> torch.Tensor:
    """One of the encoder's layers, on states of which each position Q sees the positions K that the mask allows; all
    without a mask."""
    attn, (batch, steps, width) = layer.self_attn, states_BTD.shape

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.view(batch, steps, attn.num_heads, -1).transpose(1, 2)

    normed = layer.self_attn_layer_norm(states_BTD)
    query, key, value = attn.q_proj(normed), attn.k_proj(normed), attn.v_proj(normed)
    mixed = F.scaled_dot_product_attention(heads(query), heads(key), heads(value), attn_mask=mask_B1QK)
    states_BTD = states_BTD + attn.out_proj(mixed.transpose(1, 2).reshape(batch, steps, width))
    normed = layer.final_layer_norm(states_BTD)
    return states_BTD + layer.fc2(F.gelu(layer.fc1(normed)))


def open_whisper_encoder(place: str, dtype: torch.dtype) -> WhisperEncoder:
    """The encoder of a Whisper checkpoint at a local folder or hub id. Raises OSError or ValueError if it is none."""
    from transformers import WhisperForConditionalGeneration

    whisper = WhisperForConditionalGeneration.from_pretrained(place, dtype=dtype)
    return WhisperEncoder(whisper.get_encoder(), whisper.config.num_mel_bins)
