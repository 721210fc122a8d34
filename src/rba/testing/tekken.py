"""A tiny tokenizer in the `tekken.json` of Mistral's models: one token a byte after 36 special ones."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_NAMED = {
    0: "<unk>",
    1: "<s>",
    2: "</s>",
    3: "[INST]",
    4: "[/INST]",
    11: "<pad>",
    17: "[SYSTEM_PROMPT]",
    18: "[/SYSTEM_PROMPT]",
    24: "[AUDIO]",
    25: "[BEGIN_AUDIO]",
    34: "[TRANSCRIBE]",
}
SPECIAL = [_NAMED.get(rank, f"<SPECIAL_{rank}>") for rank in range(36)]


def save_tiny_tekken(folder: Path) -> Path:
    """Write `tekken.json` into `folder`, special tokens at the ids that Voxtral's have."""
    facts = {
        "config": {
            "pattern": r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+",
            "default_vocab_size": 256 + len(SPECIAL),
            "default_num_special_tokens": len(SPECIAL),
            "version": "v7",
        },
        "vocab": [{"rank": i, "token_bytes": b64encode(bytes([i])).decode(), "token_str": None} for i in range(256)],
        "special_tokens": [{"rank": i, "token_str": name, "is_control": True} for i, name in enumerate(SPECIAL)],
    }
    (folder / "tekken.json").write_text(json.dumps(facts))
    return folder / "tekken.json"


def tiny_tekken_tokenizer() -> Any:
    """The tokenizer that transformers reads from it."""
    from transformers import PreTrainedTokenizerFast

    with TemporaryDirectory() as place:
        save_tiny_tekken(Path(place))
        return PreTrainedTokenizerFast.from_pretrained(place)
