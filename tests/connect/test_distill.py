"""Same-LLM distillation: its loss, and that only the connector learns."""

import json

import numpy as np
import pytest
import torch

from rba.connect.distill import distil, forward_kl
from rba.connect.features import FeatureStore
from rba.connect.settings import DistillSettings
from rba.models.compact import CompactSpeechLM
from rba.models.connector import Connector, ConnectorConfig
from rba.testing.tiny_lm import tiny_text_lm


def test_kl_is_zero_only_for_equal_distributions():
    logits = torch.randn(5, 7)
    assert forward_kl(logits, logits).item() == pytest.approx(0, abs=1e-6)
    assert forward_kl(logits, logits + 3).item() == pytest.approx(0, abs=1e-6)
    assert forward_kl(logits, torch.randn(5, 7)).item() > 0.1


def test_kl_equals_its_definition():
    teacher, student = torch.randn(4, 6), torch.randn(4, 6)
    p, q = teacher.softmax(-1), student.softmax(-1)
    assert forward_kl(teacher, student).item() == pytest.approx((p * (p / q).log()).sum(-1).mean().item(), abs=1e-5)


@pytest.fixture
def world(tmp_path):
    """A tiny LM, a connector on its tokens and four utterances of random frames."""
    lm = tiny_text_lm()
    texts = ["ab", "ba", "aab", "bba"]
    rng = np.random.default_rng(0)
    frames = [rng.normal(0, 1, (40, 6)).astype(np.float16) for _ in texts]
    np.save(tmp_path / "00000.npy", np.concatenate(frames))
    rows = [{"text": t, "speaker": "x", "acoustics": "clean", "length": 40} for t in texts]
    (tmp_path / "00000.json").write_text(json.dumps(rows))
    ids = sorted({i for t in texts for i in lm.tokenizer(t, add_special_tokens=False)["input_ids"]})
    torch.manual_seed(0)
    config = ConnectorConfig(features=6, stack=4, width=16, layers=1, heads=2, kernel=3)
    connector = Connector(config, ids, lm.model.get_input_embeddings().weight)
    return CompactSpeechLM(None, connector, lm, "tiny", "none"), FeatureStore(tmp_path)


class Plain:
    def __init__(self, lm):
        self.lm = lm

    def encode(self, text):
        return self.lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_the_connector_learns_and_the_llm_does_not(world, tmp_path):
    speechlm, store = world
    lm = speechlm.lm
    frozen = {name: p.clone() for name, p in lm.model.named_parameters()}
    records = []
    settings = DistillSettings(updates=25, batch=4, lr=5e-3, ctc_weight=0.3, max_response=8)
    distil(speechlm, store, Plain(lm), settings, seed=0, folder=tmp_path / "d", minutes=9, log=records.append)
    losses = [r["loss"] for r in records]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    for name, parameter in lm.model.named_parameters():
        assert torch.equal(parameter, frozen[name]), name


def test_a_batch_is_no_larger_than_the_corpus(world, tmp_path):
    speechlm, store = world
    records = []
    settings = DistillSettings(updates=1, batch=len(store) + 1, max_response=2)
    distil(speechlm, store, Plain(speechlm.lm), settings, seed=0, folder=tmp_path / "d", minutes=9, log=records.append)
    assert len(records) == 1
