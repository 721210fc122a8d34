"""LLMs that would draw nonsense, or nothing, are refused when they are opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, MambaConfig, MiniMaxConfig, RecurrentGemmaConfig, RwkvConfig

from rba.errors import ModelError
from rba.lm.load import load_lm
from rba.testing.tiny_lm import tiny_tokenizer

SIZES = {"vocab_size": 259, "hidden_size": 16, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2, "intermediate_size": 16}
OTHERS = [
    MambaConfig(**SIZES, state_size=4),
    RwkvConfig(**SIZES),
    MiniMaxConfig(**SIZES, **HEADS, num_key_value_heads=1, head_dim=8, num_local_experts=2),
    RecurrentGemmaConfig(**SIZES, **HEADS, lru_width=16, block_types=["recurrent", "attention"]),
]


@pytest.mark.parametrize("config", OTHERS, ids=lambda config: config.model_type)
def test_an_llm_that_does_not_draw_with_the_cache_in_batches_is_refused_in_one_line(config, tmp_path: Path):
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"of the type {config.model_type} are not supported: it.*choose") as refused:
        load_lm(str(tmp_path), "float32")
    assert refused.value.where == str(tmp_path) and "\n" not in str(refused.value)
