"""Feature extractors of Granite Speech and Fun-ASR-Nano without torchaudio, which rba does not install."""

from __future__ import annotations

from typing import Any

import torch


def granite_ears(mels: int) -> Any:
    """Granite Speech's feature extractor with a mel spectrogram of ours; lengths and sizes are the real class's."""
    from transformers import BatchFeature
    from transformers.models.granite_speech.feature_extraction_granite_speech import GraniteSpeechFeatureExtractor

    class GraniteEars(GraniteSpeechFeatureExtractor):
        def __init__(self) -> None:
            # not the real class's own, which asks for torchaudio
            sizes: dict[str, Any] = {"feature_size": mels, "sampling_rate": 16_000, "padding_value": 0.0}
            super(GraniteSpeechFeatureExtractor, self).__init__(**sizes)
            self.melspec_kwargs = {"hop_length": 160}
            self.projector_window_size, self.projector_downsample_rate = 15, 5

        def __call__(self, audios: Any, device: str | None = None) -> BatchFeature:
            waves_BS, lengths = self._get_audios_and_audio_lengths(audios)
            sizes = self._get_num_audio_features(lengths)
            mel_BTM = _log_mel(waves_BS.float(), mels)
            pairs_BTF = mel_BTM[:, : mel_BTM.shape[1] // 2 * 2].reshape(len(mel_BTM), -1, 2 * mels)
            mask = torch.arange(max(sizes))[None] < torch.tensor(sizes)[:, None]
            return BatchFeature({"input_features": pairs_BTF, "audio_embed_sizes": sizes, "input_features_mask": mask})

    return GraniteEars()


def fun_asr_ears(mels: int) -> Any:
    """Fun-ASR-Nano's feature extractor with a mel spectrogram of ours; how frames are stacked is the real class's."""
    from transformers.models.fun_asr_nano.feature_extraction_fun_asr_nano import FunAsrNanoFeatureExtractor

    class FunAsrEars(FunAsrNanoFeatureExtractor):
        def _extract_fbank_features(self, waveform: torch.Tensor) -> torch.Tensor:
            return _log_mel(waveform[None], mels)[0]

    return FunAsrEars(feature_size=mels)


def _log_mel(waves_BS: torch.Tensor, mels: int) -> torch.Tensor:
    """Log-mel frames [B, T, M], 100 a second, of waveforms [B, S] at 16 kHz."""
    from transformers.audio_utils import mel_filter_bank

    bank_FM = torch.from_numpy(mel_filter_bank(257, mels, 0, 8000, 16_000)).float()
    spectrum_BFT = torch.stft(waves_BS, 512, 160, 400, torch.hann_window(400), return_complex=True).abs().square()
    return (spectrum_BFT.transpose(1, 2) @ bank_FM).clamp(min=1e-10).log10() / 4 + 1
