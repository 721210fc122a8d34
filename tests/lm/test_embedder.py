"""Sentence embeddings: unit length, their own order, and near where the meaning is near."""

from __future__ import annotations

import numpy as np
import pytest

from rba.errors import ModelError
from rba.lm.embedder import SentenceEmbedder


@pytest.mark.weights
def test_meaning_decides_the_distance(weights):
    weights("all-minilm-l6-v2")
    embedder = SentenceEmbedder("all-minilm-l6-v2", batch_size=2)
    texts = ["How do I bake bread at home without an oven?", "Bread baking with no oven, how?", "Who was Napoleon?", ""]
    vectors_ND = embedder.encode(texts)
    assert vectors_ND.dtype == np.float32
    assert np.linalg.norm(vectors_ND, axis=1) == pytest.approx(1, abs=1e-5)
    cosines_NN = vectors_ND @ vectors_ND.T
    assert cosines_NN[0, 1] > 0.6 > 0.3 > cosines_NN[0, 2]
    assert embedder.encode(texts[::-1])[::-1] == pytest.approx(vectors_ND, abs=1e-5)
    assert embedder.encode([]).shape == (0, 384)


def test_a_missing_embedder_is_named():
    with pytest.raises(ModelError, match="no-such-embedder"):
        SentenceEmbedder("no-such-embedder")
