"""Logits as the model's own forward gives them, for the LLMs that do more than project."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rba.lm.generation import generate
from rba.lm.head import ShapedHead, vocabulary_head
from rba.lm.likelihood import chosen_logprobs
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling
from rba.lm.scorer import score
from rba.lm.scoring import response_logits, token_logprobs

SIZE = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZE |= {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LAWS = {
    "Gemma2": {"final_logit_softcapping": 0.05, "query_pre_attn_scalar": 8},
    "Granite": {"logits_scaling": 6.0, "embedding_multiplier": 3.0},
    "Cohere": {"logit_scale": 4.0},
    "Llama": {},
}


def lm_of(family: str) -> TextLM:
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZE, **LAWS[family])
    model = getattr(transformers, f"{family}ForCausalLM")._from_config(config).eval().requires_grad_(False)
    return TextLM(model, SimpleNamespace(decode=lambda ids, **_: " ".join(map(str, ids))), family, [2])


@pytest.mark.parametrize("family", LAWS)
def test_scores_and_samples_follow_the_models_own_forward(family: str):
    lm = lm_of(family)
    prompts = [lm.embed([5, 6, 7]), lm.embed([8, 9, 10, 11])]
    answers = [[12, 13, 2], [14, 15, 16, 2]]
    wanted = []
    for prompt, answer in zip(([5, 6, 7], [8, 9, 10, 11]), answers):
        with torch.no_grad():
            logits = lm.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        wanted.append(logits)
    plain = [row.log_softmax(-1).gather(1, torch.tensor(a)[:, None])[:, 0] for row, a in zip(wanted, answers)]
    with torch.no_grad():
        for got in (token_logprobs(lm.model, prompts, answers), score(lm, prompts, answers, 64)):
            torch.testing.assert_close(list(got), plain, atol=1e-5, rtol=0)
        torch.testing.assert_close(list(response_logits(lm.model, prompts, answers)), wanted, atol=1e-5, rtol=0)
    for prompt, row in zip(prompts, generate(lm, prompts, Sampling(1.0, 1.0, 4), [1, 2])):
        [(again,)] = [token_logprobs(lm.model, [prompt], [row[0].ids])]
        torch.testing.assert_close(torch.tensor(row[0].logprobs), again.detach(), atol=1e-5, rtol=0)


def test_a_plain_head_stays_the_linear_layer_that_the_fast_ways_know():
    lm = lm_of("Llama")
    assert vocabulary_head(lm.model) is lm.model.get_output_embeddings()
    assert isinstance(vocabulary_head(lm_of("Granite").model), ShapedHead)


def test_an_adapter_on_all_layers_leaves_a_shaped_head_alone():
    from peft import LoraConfig, get_peft_model

    lm = lm_of("Gemma2")
    before = vocabulary_head(lm.model)(torch.ones(1, 32))
    model: Any = get_peft_model(lm.model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert not any("lm_head" in name for name, _ in model.named_parameters() if "lora_" in name)
    torch.testing.assert_close(vocabulary_head(model)(torch.ones(1, 32)), before)


def test_a_ceiling_bends_logits_and_their_log_probs():
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 30, bias=False).requires_grad_(False)
    states, labels = 20 * torch.randn(5, 8), torch.tensor([0, 4, 9, 20, 29])
    logits = ShapedHead(head, 2.0, 3.0)(states)
    torch.testing.assert_close(logits, 3 * torch.tanh(2 * head(states) / 3))
    assert logits.abs().max() <= 3 < head(states).abs().max()
    wanted = logits.log_softmax(-1)[torch.arange(5), labels]
    torch.testing.assert_close(chosen_logprobs(ShapedHead(head, 2.0, 3.0), states, labels), wanted)
