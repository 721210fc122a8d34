"""A server that answers as vLLM does, around an LLM: prompts as embeddings, adapters handed to it as folders.

Like a real one it gives another answer every time it is asked, and takes what it is not told from its own settings.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rba.lm.generation import generate
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling
from rba.testing.local_server import RefusedError

TOLD = {
    **{"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    **{"ignore_eos": True, "logprobs": 0, "return_token_ids": True},
}
"""What a request has to say: `logprobs` and `return_token_ids`, or the answers come without the log-probs and the ids
of their tokens; the others, or the server follows the model's own files."""


@dataclass
class TinyVllm:
    """The LLM that `load` gives, anew each time, served under `names`; then what it was started with.

    Calling it raises RefusedError, ValueError or KeyError for what vLLM refuses. `asked` are the models and numbers of
    answers of all requests for some, `loads` the names of the adapters that it was handed, `adapters` those it has.
    """

    load: Callable[[], TextLM]
    names: Collection[str] = ("m",)
    takes_embeddings: bool = True  # --enable-prompt-embeds
    takes_adapters: bool = True  # VLLM_ALLOW_RUNTIME_LORA_UPDATING
    max_lora_rank: int = 16
    lora_modules: Collection[str] = ()  # the last parts of names that adapters take hold of, without a word; (): of all
    gives_ids: bool = True  # older ones do not
    root: Path = Path("/")  # under which it sees the folders of this machine
    asked: list[tuple[str, int]] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    adapters: dict[str, TextLM] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)

    def __call__(self, path: str, payload: Mapping[str, Any]) -> Any:
        """The answer to what was posted to `path`."""
        with self.lock:
            if path.endswith("/load_lora_adapter") and self.takes_adapters:
                return self._loaded(payload["lora_name"], Path(payload["lora_path"]))
            if path.endswith("/unload_lora_adapter") and self.takes_adapters:
                if self.adapters.pop(payload["lora_name"], None) is None:
                    raise RefusedError(404, f"The lora adapter '{payload['lora_name']}' cannot be found.")
                return b"Success"
            if path.endswith("/completions"):
                return self._drawn(payload)
        raise RefusedError(404, "Not Found")

    def _loaded(self, name: str, path: Path) -> bytes:
        folder = self.root / path.relative_to("/")
        if not (folder / "adapter_config.json").is_file():
            raise RefusedError(404, f"No adapter found for {path}")
        rank = json.loads((folder / "adapter_config.json").read_text())["r"]
        if rank > self.max_lora_rank:
            raise RefusedError(500, f"LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}.")
        if name in self.adapters:
            raise RefusedError(400, f"The lora adapter '{name}' has already been loaded.")
        self.adapters[name] = self._adapted(folder)
        self.loads.append(name)
        return b"Success"

    def _adapted(self, folder: Path) -> TextLM:
        """The LLM under the adapter in a folder. Raises RefusedError for one with weights that it has no place for."""
        import torch
        from peft import PeftModel, get_peft_model_state_dict
        from safetensors.torch import load_file

        lm = self.load()
        lm.model = PeftModel.from_pretrained(lm.model, folder).eval()
        strange = load_file(folder / "adapter_model.safetensors").keys() ^ get_peft_model_state_dict(lm.model).keys()
        if strange:
            raise RefusedError(500, f"expected no module such as {min(strange)}")
        with torch.no_grad():
            for name, parameter in lm.model.named_parameters():
                module = name.partition(".lora_B")[0].rpartition(".")[2]
                if ".lora_B" in name and self.lora_modules and module not in self.lora_modules:
                    parameter.zero_()
        return lm

    def _drawn(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        if not self.takes_embeddings:
            raise ValueError("prompt_embeds are not enabled")
        if payload["model"] not in (*self.names, *self.adapters):
            raise RefusedError(404, f"The model `{payload['model']}` does not exist.")
        if (told := {key: payload[key] for key in TOLD}) != TOLD:
            raise ValueError(f"these would be other answers: {told}")
        lm, group = self.adapters.get(payload["model"]) or self.load(), payload["n"]
        prompt_TD = _decoded(payload["prompt_embeds"], lm)
        lm = replace(lm, end_ids=payload["stop_token_ids"])
        start = payload["seed"] + 1000 * len(self.asked)
        self.asked.append((payload["model"], group))
        sampling = Sampling(payload["temperature"], payload["top_p"], payload["max_tokens"])
        (row,) = generate(lm, [prompt_TD], sampling, range(start, start + group), group)
        choices = [
            {
                "index": number,
                "text": answer.text,
                "finish_reason": "stop" if answer.finished else "length",
                "logprobs": {"token_logprobs": answer.logprobs},
                **({"token_ids": answer.ids} if self.gives_ids else {}),
            }
            for number, answer in enumerate(row)
        ]
        return {"choices": choices[::-1], "usage": {"prompt_tokens": len(prompt_TD)}}


def _decoded(text: str, lm: TextLM) -> Any:
    """The prompt [T, D] that was sent. Raises ValueError for what are no embeddings of the LLM."""
    import torch

    prompt_TD = torch.load(io.BytesIO(base64.b64decode(text)), weights_only=True)
    width = lm.embed([0]).shape[-1]
    if prompt_TD.dim() != 2 or not len(prompt_TD) or prompt_TD.shape[1] != width or not prompt_TD.is_floating_point():
        raise ValueError(f"prompt_embeds are no numbers [T, {width}], but {prompt_TD.dtype} {list(prompt_TD.shape)}")
    return prompt_TD
