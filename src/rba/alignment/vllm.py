"""A vLLM server that draws answers to prompts given as embeddings, under adapters that it is handed while it runs.

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve LLM --enable-prompt-embeds --enable-lora --max-lora-rank 16

Embeddings go over `completions` as `prompt_embeds`; adapters over vLLM's own endpoints, by a folder that it can read.
"""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rba.errors import ModelError, RefusalError
from rba.lm.generation import Completion, completion
from rba.lm.sampling import Sampling
from rba.services.client import Client
from rba.services.service import LARGEST_SEED, Service

_SEE = "(docs/services.md, Self-samples)"


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
        # what it says of an adapter is no passing matter
        orders = replace(service, retries=min(service.retries, 1))
        self._client, self._control = Client(service), Client(orders, decode=bytes.decode)

    def draw(
        self,
        prompts: Sequence[torch.Tensor],
        seeds: Sequence[int],
        wanted: Drawing,
        tokenizer: Any,
        adapter: str = "",
        check: Callable[[list[list[Completion]]], None] = lambda answers: None,
    ) -> list[list[Completion]]:
        """Answers to each prompt [T, D], one seed a prompt, as [prompt][member]; under `adapter`, if named.

        The server passes a prompt once for all its answers, and draws from the untruncated distribution but for
        `wanted`: what the model's own generation settings say is overridden. Answers that `check` raises ModelError
        for are not kept.
        """
        sampling = wanted.sampling
        fixed = {
            "model": adapter or self.service.model,
            "n": wanted.group,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "logprobs": 0,
            "return_token_ids": True,
            # a server takes these from the model's own files where they are not given
            **{"stop_token_ids": list(wanted.ends), "ignore_eos": True},
            **{"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
            **{"presence_penalty": 0.0, "frequency_penalty": 0.0},
        }
        payloads = [
            {**fixed, "seed": seed % LARGEST_SEED, "prompt_embeds": _encoded(prompt)}
            for prompt, seed in zip(prompts, seeds)
        ]
        try:
            answers = self._client.post_all("completions", payloads, partial(_answers, wanted, tokenizer))
        except RefusalError as error:
            fix = f"start it with --enable-prompt-embeds, and --max-model-len for prompt and answer {_SEE}"
            raise ModelError(error.what, error.where, fix) from error
        try:
            check(answers)
        except ModelError:
            self._client.forget("completions", payloads)
            raise
        return answers

    def load_adapter(self, name: str, folder: Path, rank: int) -> None:
        """Have the server read the adapter of `rank` in `folder` and offer it as the model `name`."""
        asked = {"lora_name": name, "lora_path": str(folder)}
        try:
            try:
                self._order("load_lora_adapter", asked)
            except ModelError as error:
                if "already" not in error.what:
                    raise
                self.unload_adapter(name)  # one that a killed run has left
                self._order("load_lora_adapter", asked)
        except ModelError as error:
            if "status" not in error.what and "server has no" not in error.what:
                raise  # it did not answer
            fix = (
                f"it must find {folder} under this path, and be started with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True "
                f"and --enable-lora --max-lora-rank {rank} or more {_SEE}"
            )
            raise ModelError(error.what, error.where, fix) from error

    def unload_adapter(self, name: str) -> None:
        """Have the server forget an adapter; one that it does not have, or a server that is gone, has done so."""
        with contextlib.suppress(ModelError):
            self._order("unload_lora_adapter", {"lora_name": name})

    def _order(self, path: str, payload: dict[str, Any]) -> None:
        self._control.post_all(path, [payload], str, keep=False)


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
        raise ModelError("the server gives no token ids", "return_token_ids", "serve with a newer vLLM; 0.32 does")
    finished = choice["finish_reason"] == "stop"
    if not ids or len(ids) != len(logprobs) or finished != (ids[-1] in wanted.ends):
        raise ValueError("tokens, log-probs and end do not agree")
    return completion(tokenizer, list(ids), [float(value) for value in logprobs], finished)
