"""A SpeechLM's LLM by itself, as a server of LLMs opens it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from rba.errors import ModelError
from rba.export.folder import new_folder
from rba.lm.head import vocabulary_head
from rba.lm.load import TextLM
from rba.lm.number_format import AUTO
from rba.lm.quantization import NONE, ROUNDED
from rba.lm.scoring import backbone
from rba.models import folder_of
from rba.models.adapters import has_lora
from rba.models.load import facts_of, load_speechlm

_HERE = "leave align.rollout_server empty: its answers are drawn here"


def write_llm(name: str, folder: Path, dtype: str = AUTO) -> None:
    """Write the LLM of the SpeechLM `name`, and its tokenizer, as the new `folder`: a causal LM of its own class.

    The adapter of an aligned checkpoint is left out: a rollout server is handed that. Where all weights of the LLM were
    trained, they are what is written. Weights that it was trained on
    packed come as what they stand for. Raises ModelError for an LLM that transformers has no class for by itself, and
    WorkspaceError for a folder that is not empty.
    """
    packed = facts_of(folder_of(name)).get("quantize", NONE) != NONE
    speechlm = load_speechlm(name, dtype, torch.device("cpu"), ROUNDED if packed else NONE)
    lm = speechlm.lm
    alone = llm_alone(lm, speechlm.name)
    alone.generation_config.eos_token_id = list(lm.end_ids)
    with new_folder(folder) as place:
        alone.save_pretrained(place)
        lm.tokenizer.save_pretrained(place)


def llm_alone(lm: TextLM, name: str) -> Any:
    """The LLM of the SpeechLM `name` without what it stands in, as a causal LM of its own class; weights are shared.

    An adapter is taken off. Raises ModelError as `write_llm` does.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    whole = lm.model.unload() if has_lora(lm) else lm.model
    config = copy.deepcopy(whole.config.get_text_config())
    if lm.embed([0]).shape[-1] > config.hidden_size:
        raise ModelError("this model's LLM reads more than embeddings: no server takes its prompts", name, _HERE)
    if hasattr(config, "audio_config"):
        raise ModelError("this model's LLM holds the towers: there is none by itself", name, _HERE)
    if whole.config is whole.config.get_text_config():
        return whole
    head, embedding = vocabulary_head(whole, bare=True), whole.get_input_embeddings()
    config.tie_word_embeddings = head.weight is embedding.weight  # what it stands in may say otherwise
    weights = {f"model.{key}": value for key, value in backbone(whole).state_dict().items()}
    try:
        with init_empty_weights():
            alone: Any = AutoModelForCausalLM.from_config(config, dtype=whole.dtype)
        alone.load_state_dict({**weights, "lm_head.weight": head.weight}, assign=True)
    except (RuntimeError, ValueError) as error:
        raise ModelError("transformers has no class for this model's LLM by itself", name, _HERE) from error
    alone.tie_weights()
    return alone
