"""GGUF to a dense, tied, trainable bfloat16 transformers folder."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

END, PAD = "<|im_end|>", "<|endoftext|>"


def convert(raw: Path, out: Path) -> None:
    """Turn `raw`/model.gguf, a chat model with ChatML tokens, into a folder `out` that `from_pretrained` loads.

    The embeddings are tied, the padding token differs from the end token (else training would mask the end of an
    answer), and padding is on the left.
    """
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(raw, gguf_file="model.gguf")
    tokenizer.pad_token, tokenizer.padding_side = PAD, "left"
    end, pad = (tokenizer.convert_tokens_to_ids(token) for token in (END, PAD))

    model = _tied(_dequantised(raw))
    model.config.eos_token_id, model.config.pad_token_id = end, pad
    model.generation_config = GenerationConfig(
        eos_token_id=[end, pad], pad_token_id=pad, bos_token_id=model.config.bos_token_id
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    _pad_left(out / "tokenizer_config.json")
    if (raw / "LICENSE").is_file():
        shutil.copy(raw / "LICENSE", out / "LICENSE")


def _pad_left(path: Path) -> None:
    # Not every tokenizer class saves its padding side.
    settings = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps({**settings, "padding_side": "left"}, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _dequantised(raw: Path) -> Any:
    import torch
    import transformers

    options: dict[str, Any] = {"gguf_file": "model.gguf", "dtype": torch.bfloat16}
    # Releases with GgufConfig may keep the packed blocks, which can be neither trained nor saved.
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    return transformers.AutoModelForCausalLM.from_pretrained(raw, **options)


def _tied(loaded: Any) -> Any:
    """The same model, plain and with one embedding matrix.

    A GGUF may hold the input and the output matrix of a tied model separately; the output one is the more precise.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config, weights = copy.deepcopy(loaded.config), loaded.state_dict()
    for leftover in ("quantization_config", "_model_name_or_path"):
        if hasattr(config, leftover):
            delattr(config, leftover)
    config.tie_word_embeddings, config.dtype = True, torch.bfloat16
    if "lm_head.weight" in weights:
        weights["model.embed_tokens.weight"] = weights["lm_head.weight"]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    return model
