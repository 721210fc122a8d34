"""The compact SpeechLM: a frozen speech encoder, the CTC connector and any causal LM."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rba.lm import chat
from rba.lm.load import TextLM
from rba.lm.preamble import System
from rba.models.adapters import FOLDER, facts_of_llm, has_lora, save_lora
from rba.models.clips import Clips, clips_of
from rba.models.connector import Connector
from rba.models.encoder import SpeechEncoder

ENCODE_SECONDS = 120.0
LISTEN_BATCH = 16
JOINT = "\n"
"""What stands between the clips of one prompt."""


@dataclass
class CompactSpeechLM:
    """Speech encoder + connector + causal LM; see `rba.models.speechlm.SpeechLM` for the methods."""

    encoder: SpeechEncoder
    connector: Connector
    lm: TextLM
    name: str
    encoder_name: str

    def encode(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Encoder features [T_i, F] (float16, CPU), computed in batches of similar length."""
        order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
        features: list[Any] = [None] * len(waves)
        while order:
            batch = [order.pop()]
            room = max(0, int(ENCODE_SECONDS * 16_000 / len(waves[batch[0]])) - 1)
            batch += [order.pop() for _ in range(min(room, len(order)))]
            for i, feature in zip(batch, self.encoder([waves[i] for i in batch])):
                features[i] = feature.to("cpu", torch.float16)
        return features

    def prompts(self, features: Sequence[Clips], system: System = None) -> list[torch.Tensor]:
        """Prompt embeddings [T_i, D]: chat frame, what the connector made of the speech, chat frame.

        Several clips stand on lines of their own, as typed words would.
        """
        return self._framed(self._logprobs(features), system)

    def text_prompts(self, texts: Sequence[str], system: System = None) -> list[torch.Tensor]:
        """Prompt embeddings [T_i, D] of the same requests typed."""
        return [self.lm.embed(chat.prompt_ids(self.lm.tokenizer, text, system)) for text in texts]

    @torch.inference_mode()
    def listen(self, features: Sequence[Clips], system: System = None) -> tuple[list[torch.Tensor], list[str]]:
        """`prompts`, and the words on the connector's best CTC path, in one pass."""
        logprobs = self._logprobs(features)
        heard = [" ".join(filter(None, map(self._read, clips))) for clips in logprobs]
        return self._framed(logprobs, system), heard

    def connector_parameters(self) -> Iterator[torch.nn.Parameter]:
        """The connector's weights."""
        return self.connector.parameters()

    def _read(self, logprobs: torch.Tensor) -> str:
        return self.lm.tokenizer.decode(self.connector.read(logprobs)).strip()

    def _framed(self, logprobs: Sequence[Sequence[torch.Tensor]], system: System) -> list[torch.Tensor]:
        before, after = (self.lm.embed(ids) for ids in chat.frame(self.lm.tokenizer, system))
        joint = self.lm.embed(self.lm.tokenizer(JOINT, add_special_tokens=False)["input_ids"])
        prompts = []
        for clips in logprobs:
            first, *others = (self.connector.embed(p).to(before.dtype) for p in clips)
            prompts.append(torch.cat([before, first, *(rows for clip in others for rows in (joint, clip)), after]))
        return prompts

    def _logprobs(self, features: Sequence[Clips]) -> list[list[torch.Tensor]]:
        """Log-probs of every clip of every prompt."""
        prompts = [clips_of(heard) for heard in features]
        found = iter(self._each([clip for clips in prompts for clip in clips]))
        return [[next(found) for _ in clips] for clips in prompts]

    def _each(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Log-probs of clips, a few of similar length at a time: they are wide."""
        weight = self.connector.enter.weight
        order = sorted(range(len(features)), key=lambda i: len(features[i]))
        found: list[Any] = [None] * len(features)
        for start in range(0, len(order), LISTEN_BATCH):
            chosen = order[start : start + LISTEN_BATCH]
            rows = self.connector.logprobs([features[i].to(weight.device, weight.dtype) for i in chosen])
            for i, row in zip(chosen, rows):
                found[i] = row.clone()  # of its own size, not a view of the padded batch
        return found

    def save(self, folder: Path) -> None:
        """Write `speechlm.json`, `connector.safetensors` (float16) and, with LoRA, `adapter/`; base models by name."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        names = {"encoder": self.encoder_name, "llm": self.lm.name, "connector": self.connector.config.as_dict()}
        (folder / "speechlm.json").write_text(json.dumps(names | facts_of_llm(self.lm), indent=1) + "\n")
        state = self.connector.state_dict()
        halves = {k: v.half().contiguous() if v.is_floating_point() else v.to(torch.int32) for k, v in state.items()}
        save_file(halves, folder / "connector.safetensors")
        if has_lora(self.lm):
            save_lora(self.lm, folder / FOLDER)
            self.lm.tokenizer.save_pretrained(folder)
