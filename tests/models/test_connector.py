"""The connector reads tokens off features by CTC and turns them into the LLM's own embeddings."""

import pytest
import torch

from rba.models.connector import Connector, ConnectorConfig

CONFIG = ConnectorConfig(features=6, stack=2, width=16, layers=2, heads=2, kernel=3, dropout=0.0)
TOKENS = [3, 5, 7, 11]


@pytest.fixture
def connector():
    torch.manual_seed(0)
    return Connector(CONFIG, TOKENS, torch.randn(20, 8)).eval()


def path(*steps):
    """Log-probs whose argmax is the given path (0 = blank, 1 + v = token v)."""
    logits = torch.zeros(len(steps), 1 + len(TOKENS))
    for t, step in enumerate(steps):
        logits[t, step] = 4.0
    return logits.log_softmax(-1)


def test_blanks_are_dropped_and_runs_merged(connector):
    assert connector.read(path(0, 1, 1, 0, 2, 2, 0, 2, 4)) == [3, 5, 5, 11]
    assert connector.embed(path(0, 1, 1, 0, 2, 2, 0, 2, 4)).shape == (4, 8)


def test_an_embedding_is_the_posterior_weighted_mean_of_token_embeddings(connector):
    logp = path(0, 1, 1, 0, 3)
    weights = logp[1:3, 1:].exp().sum(0)
    assert torch.allclose(connector.embed(logp)[0], (weights / weights.sum()) @ connector.table_VD, atol=1e-6)


def test_certainty_gives_the_token_embedding_itself(connector):
    logits = torch.full((1, 5), -50.0)
    logits[0, 2] = 50.0
    assert torch.allclose(connector.embed(logits.log_softmax(-1))[0], connector.table_VD[1], atol=1e-6)


def test_silence_gives_one_vector(connector):
    assert connector.read(path(0, 0, 0)) == []
    assert connector.embed(path(0, 0, 0)).shape == (1, 8)


def test_a_clip_does_not_depend_on_its_batch(connector):
    clips = [torch.randn(n, 6) for n in (9, 4, 15)]
    together = connector.logprobs(clips)
    for clip, logp in zip(clips, together):
        assert logp.shape == (-(-len(clip) // 2), 5)
        assert torch.allclose(logp, connector.logprobs([clip])[0], atol=1e-5)


def test_gradients_reach_every_weight(connector):
    logp = connector.logprobs([torch.randn(12, 6)])[0]
    (connector.embed(logp).square().sum() + logp[0, 0]).backward()
    for name, parameter in connector.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
