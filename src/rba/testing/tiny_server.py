"""A server on 127.0.0.1 with the endpoints of OpenAI's interface that rba asks, around the tiny LLM that writes."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import soundfile

from rba.data import audio, seeds
from rba.lm.generation import generate
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling
from rba.testing.local_server import answering
from rba.testing.tiny_utterances import tiny_wave
from rba.testing.tiny_writer import tiny_writer

HEARD = "Do I paint a violin today?"
"""What its recogniser hears in everything."""

MARKED = "Reply with the number and nothing else."
"""How the judge's question ends (`rba.rewards.judge`)."""


@dataclass
class TinyServer:
    """What is answered: chats, completions of token ids, log-probs of a prompt, speech, transcriptions.

    Calling it raises ValueError, KeyError or TypeError for a request that no server would take.
    """

    lm: TextLM = field(default_factory=tiny_writer)
    lock: Any = field(default_factory=threading.Lock)

    def __call__(self, path: str, payload: Mapping[str, Any]) -> Any:
        """The answer to what was posted to `path`: JSON, or the bytes of a sound."""
        if path.endswith("/audio/speech"):
            return spoken(payload)
        if path.endswith("/audio/transcriptions"):
            return {"text": HEARD}
        if path.endswith("/chat/completions"):
            if payload["messages"][-1]["content"].endswith(MARKED):
                return _one({"message": {"role": "assistant", "content": mark(payload)}, "finish_reason": "stop"})
            ids = self.lm.tokenizer.apply_chat_template(payload["messages"], tokenize=False, add_generation_prompt=True)
            text, reason = self._written(self._ids(ids), payload)
            return _one({"message": {"role": "assistant", "content": text}, "finish_reason": reason})
        if path.endswith("/completions"):
            return self._completed(payload)
        raise KeyError(path)

    def _completed(self, payload: Mapping[str, Any]) -> Any:
        prompt = payload["prompt"]
        ids = self._ids(prompt) if isinstance(prompt, str) else list(prompt)
        if payload.get("echo"):
            return _one({"text": "", "finish_reason": "length", "logprobs": {"token_logprobs": self._scored(ids)}})
        text, reason = self._written(ids, payload)
        return _one({"text": text, "finish_reason": reason})

    def _ids(self, text: str) -> list[int]:
        return self.lm.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _written(self, ids: list[int], payload: Mapping[str, Any]) -> tuple[str, str]:
        """What the LLM writes after a prompt, and why it ends."""
        sampling = Sampling(payload["temperature"], payload["top_p"], payload["max_tokens"])
        with self.lock:
            ((answer,),) = generate(self.lm, [ids], sampling, [payload["seed"]])
        return answer.text, "stop" if answer.finished else "length"

    def _scored(self, ids: list[int]) -> list[float | None]:
        """Log-probs of a prompt's tokens, none for the first, and of one more token, as vLLM gives them."""
        import torch

        row = torch.tensor([ids])
        with self.lock, torch.no_grad():
            logp_TV = self.lm.model(row).logits[0].log_softmax(-1)
        return [None, *logp_TV[:-1].gather(1, row[0, 1:, None])[:, 0].tolist(), -1.0]


def mark(payload: Mapping[str, Any]) -> str:
    """The mark that it gives as a judge, a function of what it reads."""
    return str(1 + seeds.derive(json.dumps(payload["messages"])) % 10)


def _one(choice: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    return {"object": "completion", "choices": [{"index": 0, **choice}], "usage": usage}


def spoken(payload: Mapping[str, Any]) -> bytes:
    """A WAV for a request in a stock voice, or in that of a clip. Raises ValueError for one in none."""
    if not payload["input"].strip():
        raise ValueError("input is empty")
    cloned = str(payload.get("ref_audio", "")).startswith("data:audio/")
    if cloned and not (payload.get("ref_text") or payload.get("x_vector_only_mode")):
        raise ValueError("ref_audio comes without ref_text")
    if not cloned and not payload.get("voice"):
        raise ValueError("no voice")
    seed = seeds.derive(json.dumps(payload, sort_keys=True)) % 2**31
    buffer = io.BytesIO()
    soundfile.write(buffer, tiny_wave(seed, 0.6), audio.SAMPLE_RATE, format="WAV")
    return buffer.getvalue()


@contextlib.contextmanager
def tiny_server() -> Iterator[str]:
    """Its base address, up to and with /v1, while the block runs."""
    with answering(TinyServer()) as address:
        yield address
