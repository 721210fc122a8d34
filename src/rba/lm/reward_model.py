"""Reward models: a score of an answer to a request, by a sequence-classification model of transformers.

    model = load_reward_model("org/some-reward-model")
    model.score(["Capital of Australia?"], ["Canberra."])      # [3.2]

It reads the typed request, never the speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rba.errors import ModelError
from rba.lm import armorm, chat
from rba.lm.number_format import AUTO, number_format, pick_device
from rba.lm.scoring import right_pad

BATCH_TOKENS = 8192


class RewardModel:
    """A model with one output behind a chat template: `score(texts, responses)`.

    `batch_tokens` is the largest number of padded tokens in one forward pass.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, batch_tokens: int = BATCH_TOKENS):
        self.model, self.tokenizer, self.name, self.batch_tokens = model, tokenizer, name, batch_tokens
        self._padding = model.config.pad_token_id
        self._header = chat.frame(tokenizer)[1] if armorm.is_armorm(model.config) else []

    @torch.inference_mode()
    def score(self, texts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """One number per response to its text, on the model's own scale.

        Sequences are batched by length, in an order that is a function of their set: the order of the call changes
        nothing, and batch mates change a score by rounding alone.
        """
        rows = [self._ids(text, answer) for text, answer in zip(texts, responses)]
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), rows[i]))
        scores = [0.0] * len(rows)
        while order:
            count = max(1, self.batch_tokens // len(rows[order[-1]]))
            chosen, order = order[-count:], order[:-count]
            for i, value in zip(chosen, self._score([rows[i] for i in chosen]).tolist()):
                scores[i] = value
        return scores

    def _ids(self, text: str, answer: str) -> list[int]:
        """Token ids of the whole dialogue; the template brings its own special tokens."""
        turns = [{"role": "user", "content": text.strip()}, {"role": "assistant", "content": answer.strip()}]
        framed = self.tokenizer.apply_chat_template(turns, tokenize=False)
        return self.tokenizer(framed, add_special_tokens=False)["input_ids"]

    def _score(self, rows: Sequence[list[int]]) -> torch.Tensor:
        """Scores [B] of a batch."""
        device = next(self.model.parameters()).device
        padding = _unused_end(rows) if self._padding is None else self._padding
        self.model.config.pad_token_id = padding
        ids_BT, mask_BT = right_pad([torch.tensor(row, device=device) for row in rows], padding)
        if self._header:
            starts = [armorm.last_occurrence(row, self._header) for row in rows]
            return self.model(ids_BT, mask_BT, torch.tensor(starts, device=device))
        return self.model(input_ids=ids_BT, attention_mask=mask_BT).logits[:, 0].float()


def _unused_end(rows: Sequence[list[int]]) -> int:
    """An id that ends no sequence: a classifier on a decoder takes the last id that is not padding for the last."""
    ends = {row[-1] for row in rows}
    return next(i for i in range(len(ends) + 1) if i not in ends)


def load_reward_model(name: str, dtype: str = AUTO) -> RewardModel:
    """Load a reward model by registry name, local folder or hub id; ArmoRM's own layout is known, no remote code runs.

    Raises ModelError if it cannot be loaded, has no chat template, no trained head, or other than one label.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    from rba.weights.opening import opening
    from rba.weights.resolve import resolve

    logging.disable_progress_bar()
    place = resolve(name)
    fix = "give a registry name (rba models list), a whole local folder or a hub id of a sequence-classification model"
    with opening("the reward model", name, fix):
        config = AutoConfig.from_pretrained(place)
        tokenizer = AutoTokenizer.from_pretrained(place)
    if not tokenizer.chat_template:
        other = "choose a reward model of dialogues, or add a chat template to its tokenizer"
        raise ModelError("the reward model has no chat template", name, other)
    known = armorm.is_armorm(config)
    if not known and config.num_labels != 1:
        other = "choose a sequence-classification model with one output"
        raise ModelError(f"a reward model has one label, this one has {config.num_labels}", name, other)
    kind: Any = armorm.ArmoRM if known else AutoModelForSequenceClassification
    with opening("the reward model", name, fix):
        model, report = kind.from_pretrained(place, dtype=number_format(dtype), output_loading_info=True)
    if missing := sorted(report["missing_keys"]):
        what = f"the weights of the reward model lack {', '.join(missing[:3])}"
        raise ModelError(what, name, "choose a model that was trained as a reward model")
    return RewardModel(model.to(pick_device()).eval().requires_grad_(False), tokenizer, name)
