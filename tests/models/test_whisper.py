"""The unpadded encoder is Whisper's own, for clips of any length in any batch."""

import numpy as np
import pytest
import torch

from rba.models.whisper import WhisperEncoder


@pytest.fixture(scope="module")
def whisper():
    from transformers import WhisperConfig, WhisperModel

    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=64, decoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=64, vocab_size=50, num_mel_bins=80, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return WhisperModel(config).eval()


def waves(*seconds):
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, int(s * 16_000)).astype(np.float32) for s in seconds]


def test_thirty_seconds_equal_the_original(whisper):
    from transformers import WhisperFeatureExtractor

    (wave,) = waves(30)
    mel = WhisperFeatureExtractor()(wave, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        expected = whisper.encoder(mel).last_hidden_state[0]
    found = WhisperEncoder(whisper.encoder, 80)([wave])[0]
    assert found.shape == (1500, 32)
    assert torch.allclose(found, expected, atol=2e-4)


def test_a_clip_does_not_depend_on_its_batch(whisper):
    encoder = WhisperEncoder(whisper.encoder, 80)
    clips = waves(1.0, 2.37, 0.5)
    for clip, feature in zip(clips, encoder(clips)):
        assert torch.allclose(feature, encoder([clip])[0], atol=1e-4)


@pytest.mark.parametrize("seconds, frames", [(5, 250), (1.01, 51), (0.1, 5)])
def test_fifty_frames_a_second(whisper, seconds, frames):
    assert len(WhisperEncoder(whisper.encoder, 80)(waves(seconds))[0]) == frames
