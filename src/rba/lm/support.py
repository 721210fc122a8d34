"""Which causal LMs cannot be worked with: those that do not draw the tokens they would draw alone, without padding."""

from __future__ import annotations

import inspect
from typing import Any

from rba.errors import ModelError
from rba.lm.scoring import backbone

_REFUSED = {
    "minimax": "it keeps a cache of a class of its own",
    "recurrent_gemma": "its recurrent states take in the padding of shorter prompts",
}
"""Why an LLM of this model type cannot draw answers to a batch of prompts."""


def check_supported(model: Any, name: str) -> None:
    """Raise ModelError for a causal LM that does not draw answers with transformers' cache, in batches.

    A decoder whose forward takes no `past_key_values` keeps its states elsewhere and passes over what it is given.
    """
    config = model.config.get_text_config()
    reason = _REFUSED.get(config.model_type, "")
    if "past_key_values" not in inspect.signature(backbone(model).forward).parameters:
        reason = "it keeps its states outside of transformers' cache"
    if reason:
        fix = "choose one of another type, such as Llama, Qwen or Gemma"
        raise ModelError(f"LLMs of the type {config.model_type} are not supported: {reason}", name, fix)
