"""What a connector hears: the word error rate of the transcripts read off it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from rba.connect.features import FeatureStore
from rba.models.connector import Connector
from rba.speech.word_errors import word_errors


@torch.inference_mode()
def transcripts(connector: Connector, tokenizer: Any, store: FeatureStore, batch: int = 32) -> list[str]:
    """What the connector reads off every utterance of `store`."""
    device = connector.enter.weight.device
    order = sorted(range(len(store)), key=lambda i: store.rows[i].length)
    texts = [""] * len(store)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        for i, logp in zip(chosen, connector.logprobs([store.features(i).to(device) for i in chosen])):
            texts[i] = tokenizer.decode(connector.read(logp)).strip()
    return texts


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Corpus WER (errors over reference words) after the usual normalisation of spoken English."""
    errors_N, words_N = errors(references, hypotheses)
    return float(errors_N.sum() / max(1, words_N.sum()))


def errors(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Word errors [N] and reference words [N] of each pair."""
    errors_N, words_N = np.array([word_errors(*pair) for pair in zip(references, hypotheses)]).T
    return errors_N, words_N


def interval(
    references: Sequence[str], hypotheses: Sequence[str], seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """95 % bootstrap interval of the corpus WER over utterances."""
    errors_N, words_N = errors(references, hypotheses)
    pick = np.random.default_rng(seed).integers(0, len(errors_N), (draws, len(errors_N)))
    low, high = np.percentile(errors_N[pick].sum(1) / words_N[pick].sum(1), [2.5, 97.5])
    return float(low), float(high)
