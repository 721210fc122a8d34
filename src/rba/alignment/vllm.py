"""A vLLM server that draws answers to prompts given as embeddings, under adapters that it is handed while it runs.

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve LLM --enable-prompt-embeds --enable-lora --max-lora-rank 16

Embeddings go over `completions` as `prompt_embeds`; adapters over vLLM's own endpoints, by a folder that it can read.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rba.errors import ModelError
from rba.lm.generation import Completion, completion
from rba.lm.sampling import Sampling
from rba.services.client import Client
from rba.services.service import LARGEST_SEED, Service

_SERVE = (
    "start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and "
    "--enable-prompt-embeds --enable-lora --max-lora-rank RANK (docs/services.md, Self-samples)"
)


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn: `group` of them to a prompt, each until one of the tokens `ends`."""

    sampling: Sampling
    group: int
    ends: tuple[int, ...]


class VllmServer:
    """One served LLM. All methods raise ModelError for what the server refuses."""

    def __init__(self, service: Service):
        self.service = service
        self._client, self._control = Client(service), Client(service, decode=bytes.decode)

    def draw(
        self, prompts: Sequence[torch.Tensor], seeds: Sequence[int], wanted: Drawing, tokenizer: Any, adapter: str = ""
    ) -> list[list[Completion]]:
        """Answers to each prompt [T, D], one seed a prompt, as [prompt][member]; under `adapter`, if named.

        The server passes a prompt once for all its answers, and draws from the untruncated distribution but for
        `wanted`: what the model's own generation settings say is overridden.
        """
        sampling = wanted.sampling
        fixed = {
            "model": adapter or self.service.model,
            "n": wanted.group,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "stop_token_ids": list(wanted.ends),
            "logprobs": 0,
            "return_token_ids": True,
            # a server takes these from the model's generation_config.json where they are not given
            **{"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
            **{"presence_penalty": 0.0, "frequency_penalty": 0.0},
        }
        payloads = [
            {**fixed, "seed": seed % LARGEST_SEED, "prompt_embeds": _encoded(prompt)}
            for prompt, seed in zip(prompts, seeds)
        ]
        try:
            return self._client.post_all("completions", payloads, partial(_answers, wanted, tokenizer))
        except ModelError as error:
            raise _refused(error) from error

    def load_adapter(self, name: str, folder: Path) -> None:
        """Have the server read the adapter in `folder` and offer it as the model `name`, over one of that name."""
        self._order("load_lora_adapter", {"lora_name": name, "lora_path": str(folder), "load_inplace": True})

    def unload_adapter(self, name: str) -> None:
        """Have the server forget an adapter."""
        self._order("unload_lora_adapter", {"lora_name": name})

    def _order(self, path: str, payload: dict[str, Any]) -> None:
        try:
            self._control.post_all(path, [payload], str, keep=False)
        except ModelError as error:
            raise _refused(error) from error


def _refused(error: ModelError) -> ModelError:
    """A failure; where the server refuses, with how it is to be started."""
    refused = error.what.startswith(("the server refuses the request", "the server has no"))
    return ModelError(error.what, error.where, _SERVE) if refused else error


def _encoded(prompt: torch.Tensor) -> str:
    """A prompt [T, D] as the server reads it."""
    written = io.BytesIO()
    torch.save(prompt.detach().cpu().clone(), written)
    return base64.b64encode(written.getvalue()).decode()


def _answers(wanted: Drawing, tokenizer: Any, tree: Any) -> list[Completion]:
    """The answers of a response, in their order."""
    choices = sorted(tree["choices"], key=lambda choice: choice["index"])
    if [choice["index"] for choice in choices] != list(range(wanted.group)):
        raise ValueError(f"{len(choices)} answers instead of {wanted.group}")
    return [_answer(wanted, tokenizer, choice) for choice in choices]


def _answer(wanted: Drawing, tokenizer: Any, choice: Any) -> Completion:
    ids, logprobs = choice.get("token_ids"), choice["logprobs"]["token_logprobs"]
    if ids is None:
        raise ModelError("the server gives no token ids", "return_token_ids", "serve with vLLM 0.11 or newer")
    finished = choice["finish_reason"] == "stop"
    if not ids or len(ids) != len(logprobs) or finished != (ids[-1] in wanted.ends):
        raise ValueError("tokens, log-probs and end do not agree")
    return completion(tokenizer, list(ids), [float(value) for value in logprobs], finished)
