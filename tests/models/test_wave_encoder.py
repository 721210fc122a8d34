"""Encoders that hear the waveform: the published classes' own states, for clips of any length in any batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

from rba.errors import ModelError
from rba.models.encoder import load_encoder
from rba.models.wave_encoder import FAMILIES, MOONSHINE, WaveEncoder
from rba.testing.tiny_encoder import WIDTH, save_tiny_encoder


def waves(*seconds: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(0.05, 0.1, int(s * 16_000)).astype(np.float32) for s in seconds]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_has_its_frames_whatever_is_beside_it(family: str, tmp_path: Path):
    encoder = load_encoder(str(save_tiny_encoder(tmp_path, family)))
    clips = waves(1.0, 2.37, 0.1)
    for clip, feature in zip(clips, encoder(clips), strict=True):
        assert feature.shape[1] == encoder.width == WIDTH
        assert abs(len(feature) - len(clip) / 16_000 * encoder.frame_rate) < 2.5
        assert torch.equal(feature, encoder([clip])[0])
    assert encoder.frame_rate == (pytest.approx(41.67, abs=0.01) if family == MOONSHINE else 50)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_features_are_those_of_the_model_on_what_its_extractor_makes(norm: str, normalise: bool, tmp_path: Path):
    save_tiny_encoder(tmp_path, "wav2vec2", normalise=normalise, feat_extract_norm=norm)
    (wave,) = waves(1.3)
    values = Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)(wave, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = AutoModel.from_pretrained(tmp_path).eval()(values.input_values).last_hidden_state[0]
    assert torch.allclose(load_encoder(str(tmp_path))([wave])[0].cpu(), expected, atol=1e-5)


def test_moonshine_is_not_normalised(tmp_path: Path):
    save_tiny_encoder(tmp_path, MOONSHINE)
    (wave,) = waves(1.3)
    with torch.no_grad():
        model = AutoModel.from_pretrained(tmp_path).eval().get_encoder()
        expected = model(torch.from_numpy(wave)[None]).last_hidden_state[0]
    assert torch.allclose(load_encoder(str(tmp_path))([wave])[0].cpu(), expected, atol=1e-5)


def test_an_encoder_is_frozen_and_never_hides_what_it_hears(tmp_path: Path):
    encoder = load_encoder(str(save_tiny_encoder(tmp_path, "hubert")))
    assert isinstance(encoder, WaveEncoder)
    assert not encoder.encoder.training and not any(p.requires_grad for p in encoder.parameters())


def test_an_adapter_on_top_slows_the_frames(tmp_path: Path):
    more = {"add_adapter": True, "num_adapter_layers": 2, "adapter_stride": 2, "output_hidden_size": 24}
    encoder = load_encoder(str(save_tiny_encoder(tmp_path, "wav2vec2", **more)))
    (features,) = encoder(waves(4.0))
    assert encoder.frame_rate == 12.5 and abs(len(features) - 50) < 2 and features.shape[1] == encoder.width == 24


def test_an_unknown_family_is_refused_by_name(tmp_path: Path):
    AutoConfig.for_model("bert").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="family bert is not known") as caught:
        load_encoder(str(tmp_path))
    assert "whisper, moonshine, wav2vec2" in caught.value.fix


def test_a_checkpoint_without_its_extractor_is_refused(tmp_path: Path):
    (save_tiny_encoder(tmp_path, "wav2vec2") / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="cannot load the speech encoder"):
        load_encoder(str(tmp_path))


@pytest.mark.weights
def test_moonshine_opens_from_the_registry(weights):
    weights("moonshine-base-en")
    encoder = load_encoder("moonshine-base-en")
    assert encoder.width == 416
    (features,) = encoder(waves(1.0))
    assert len(features) == 40 and torch.isfinite(features).all()
