"""Sentence embeddings by mean pooling, for near duplicates, topics, rewards and evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

MAX_TOKENS = 256


class SentenceEmbedder:
    """A sentence encoder by registry name, local folder or hub id, e.g. `SentenceEmbedder("all-minilm-l6-v2")`.

    Raises ModelError if it cannot be loaded.
    """

    def __init__(self, name: str = "all-minilm-l6-v2", batch_size: int = 64):
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        from rba.lm.number_format import pick_device
        from rba.weights.opening import opening
        from rba.weights.resolve import resolve

        logging.disable_progress_bar()
        place = resolve(name)
        with opening("the sentence embedder", name):
            self.tokenizer = AutoTokenizer.from_pretrained(place)
            model = AutoModel.from_pretrained(place, dtype=torch.float32)
        self.model = model.to(pick_device()).eval().requires_grad_(False)
        self.name, self.batch_size = name, batch_size

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, D] (float32) of N texts, in their order; a text counts up to its first 256 tokens."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows_ND = np.zeros((len(texts), self.model.config.hidden_size), np.float32)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            rows_ND[chosen] = self._encode([texts[i] for i in chosen])
        return rows_ND

    def _encode(self, texts: list[str]) -> np.ndarray:
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        batch = batch.to(self.model.device)
        mask_BT1 = batch["attention_mask"][..., None].float()
        states_BTD = self.model(**batch).last_hidden_state
        mean_BD = (states_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(mean_BD, dim=-1).cpu().numpy()
