"""A server that answers as vLLM does, around the tiny LLM: prompts as embeddings, adapters handed to it as folders.

Like a real one, it gives another answer every time it is asked, and takes what it is not told from its own settings.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from services.fault_server import FaultServer

from rba.lm.generation import generate
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling
from rba.testing.tiny_lm import tiny_text_lm

TOLD = {
    **{"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    **{"ignore_eos": True, "logprobs": 0, "return_token_ids": True},
}


@dataclass
class Vllm:
    """The LLM of `seed`, served as "m"; `lacks` names what it was not started with."""

    seed: int = 0
    lacks: str = ""
    adapters: dict[str, TextLM] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)  # model and answers of every request for some
    loads: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def server(self) -> FaultServer:
        """What `serving` serves."""
        return FaultServer(self.answer, self.fault)

    def fault(self, text: str, number: int) -> str:
        """The status with which it refuses, and what it says."""
        payload = json.loads(text)
        if "lora_path" in payload:
            return self._fault_of_load(payload)
        if "lora_name" in payload:
            return "" if payload["lora_name"] in self.adapters else "404 it cannot be found"
        if self.lacks == "embeddings":
            return "400 prompt_embeds are not enabled"
        return "" if payload["model"] in ("m", *self.adapters) else f"404 {payload['model']} does not exist"

    def _fault_of_load(self, payload: dict[str, Any]) -> str:
        if self.lacks == "adapters":
            return "404 Not Found"
        if self.lacks == "rank":
            return "500 LoRA rank 4 is greater than max_lora_rank 2."
        if self.lacks == "the folder" or not (Path(payload["lora_path"]) / "adapter_config.json").is_file():
            return "404 No adapter found"
        return "400 it has already been loaded" if payload["lora_name"] in self.adapters else ""

    def answer(self, path: str, payload: dict[str, Any]) -> Any:
        """What it says."""
        with self.lock:
            if path.endswith("/load_lora_adapter"):
                self.loads.append(payload["lora_name"])
                self.adapters[payload["lora_name"]] = self._adapted(payload["lora_path"])
                return b"Success"
            if path.endswith("/unload_lora_adapter"):
                del self.adapters[payload["lora_name"]]
                return b"Success"
            return self._draw(payload)

    def _adapted(self, path: str) -> TextLM:
        lm = tiny_text_lm(self.seed)
        if self.lacks != "the adapter's modules":
            lm.model = PeftModel.from_pretrained(lm.model, path).eval()
        return lm

    def _draw(self, payload: dict[str, Any]) -> dict[str, Any]:
        assert {key: payload[key] for key in TOLD} == TOLD
        prompt = torch.load(io.BytesIO(base64.b64decode(payload["prompt_embeds"])), weights_only=True)
        lm, group = self.adapters.get(payload["model"]) or tiny_text_lm(self.seed), payload["n"]
        lm = replace(lm, end_ids=payload["stop_token_ids"])
        start = payload["seed"] + 1000 * len(self.asked)
        self.asked.append((payload["model"], group))
        sampling = Sampling(payload["temperature"], payload["top_p"], payload["max_tokens"])
        (row,) = generate(lm, [prompt], sampling, range(start, start + group), group)
        choices = [
            {
                "index": number,
                "text": answer.text,
                "finish_reason": "stop" if answer.finished else "length",
                "logprobs": {"token_logprobs": answer.logprobs},
                **({} if self.lacks == "token ids" else {"token_ids": answer.ids}),
            }
            for number, answer in enumerate(row)
        ]
        return {"choices": choices[::-1], "usage": {"prompt_tokens": len(prompt)}}
