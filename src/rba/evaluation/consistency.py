"""Cross-voice consistency: does a model give the same answer whoever asks? (RBA section on consistency.)"""

from __future__ import annotations

import numpy as np


def consistency(embeddings_NVD: np.ndarray) -> np.ndarray:
    """Mean pairwise cosine [N] of the answers to one instruction in V voices; with 4 voices the mean of 6 cosines.

    `embeddings_NVD` holds unit vectors; NaN rows are absent answers. NaN for fewer than two answers. Equals
    (|sum of the vectors|^2 - sum of their squared lengths) / (V (V - 1)). A blank answer is the zero vector: it agrees
    with nothing.
    """
    there_NV = np.isfinite(embeddings_NVD).all(-1)
    vectors = np.where(there_NV[..., None], embeddings_NVD, 0)
    count_N = there_NV.sum(-1)
    pairs_N = count_N * (count_N - 1)
    same_N = (vectors.sum(1) ** 2).sum(-1) - (vectors**2).sum((1, 2))
    return np.divide(same_N, pairs_N, out=np.full(len(vectors), np.nan), where=pairs_N > 0)
