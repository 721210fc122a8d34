"""Blocks whose operations are joined give what the model's own give, for every row, whatever has left the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from prefilled import PROMPTS, prefilled
from releases import each
from transformers import AutoModelForCausalLM, GraniteConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from rba.lm import decoding, llama_block
from rba.lm.decoding import WORTH, Decoding
from rba.lm.fused import Fused
from rba.lm.generation import generate
from rba.lm.grouped import group
from rba.lm.load import TextLM
from rba.lm.number_format import x86_multiplies_bfloat16
from rba.lm.sampling import Sampling
from rba.lm.stepwise import Stepwise
from rba.testing.tiny_audio_lm import tiny_audio_lm
from rba.testing.tiny_lm import tiny_text_lm

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3}
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**SIZES),
    "llama, every layer with a bias": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "llama, its frequencies stretched": LlamaConfig(
        **SIZES, rope_parameters={"rope_type": "linear", "factor": 3.0, "rope_theta": 100.0}
    ),
    "llama, wide heads and another activation": LlamaConfig(**SIZES, head_dim=24, hidden_act="gelu"),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
}
LORA = {"r": 4, "lora_alpha": 12}


def text_lm(config: Any) -> TextLM:
    """A random LLM of this configuration, no weight of which is what it is at the start of training."""
    torch.manual_seed(0)
    lm = tiny_text_lm()
    config.vocab_size = len(lm.tokenizer)
    lm.model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "norm" in name or "bias" in name:
                weight.add_(0.3 * torch.randn_like(weight))
    return lm


def adapted(lm: TextLM, **kwargs: Any) -> TextLM:
    """The same under LoRA that does something."""
    lm.model = get_peft_model(lm.model, LoraConfig(**LORA, **kwargs)).eval()
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora" in name:
                weight.normal_(0, 0.1)
    return lm


def fused(lm: TextLM, answers: int = 1) -> Fused | None:
    """What goes on from `PROMPTS` with so many answers each."""
    cache, mask_PT, position_P = prefilled(lm)
    group(cache, mask_PT, answers)
    return Fused.of(lm.model, cache, position_P.repeat_interleave(answers))


def repeated(lm: TextLM, answers: int = 1) -> Stepwise:
    """The model's own passes, with rows by themselves."""
    cache, mask_PT, position_P = prefilled(lm)
    cache.reorder_cache(torch.arange(len(mask_PT)).repeat_interleave(answers))
    return Stepwise(lm.model, cache, *(each.repeat_interleave(answers, 0) for each in (mask_PT, position_P)))


@torch.no_grad()
def compare(lm: TextLM, answers: int = 3, steps: int = 8) -> None:
    """Both ways' logits are the same at every step, while rows leave."""
    ours, theirs = fused(lm, answers), repeated(lm, answers)
    assert ours
    token_B = torch.arange(5, 5 + len(PROMPTS) * answers)
    for step in range(steps):
        wanted = theirs.logits(token_B)
        torch.testing.assert_close(ours.logits(token_B), wanted, atol=1e-5 * float(wanted.std()), rtol=1e-5)
        token_B = wanted.argmax(-1)
        if step in (2, 5):
            index_B = torch.arange(len(token_B))[step:]
            ours.keep(index_B), theirs.keep(index_B)
            token_B = token_B[index_B]


@pytest.mark.parametrize("kind", CONFIGS)
def test_logits_are_those_of_the_models_own_passes(kind: str):
    compare(text_lm(CONFIGS[kind]))


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "up_proj", "o_proj"], ["k_proj", "v_proj", "lm_head"]])
def test_so_they_are_under_an_adapter(targets: str | list[str]):
    compare(adapted(text_lm(CONFIGS["qwen2"]), target_modules=targets))


def test_an_adapter_that_is_off_adds_nothing():
    lm = adapted(text_lm(CONFIGS["llama"]), target_modules="all-linear")
    with lm.model.disable_adapter():
        assert not fused(lm)  # left to the model's own passes


@pytest.mark.skipif(not x86_multiplies_bfloat16(), reason="the CPU does not multiply bfloat16")
@torch.no_grad()
def test_bfloat16_is_no_further_from_float32_than_the_models_own_passes():
    exact, half = text_lm(CONFIGS["llama"]), text_lm(CONFIGS["llama"])
    exact.model.bfloat16().float()
    half.model.bfloat16()
    ours, theirs, truth = fused(half, 3), repeated(half, 3), repeated(exact, 3)
    assert ours
    token_B, apart = torch.arange(5, 5 + len(PROMPTS) * 3), []
    for _ in range(8):
        wanted = truth.logits(token_B)
        apart.append([(way.logits(token_B) - wanted).square().mean() for way in (ours, theirs)])
        token_B = wanted.argmax(-1)
    mine, other = torch.tensor(apart).sum(0).sqrt()
    assert mine < other < 0.1 * wanted.std()


def test_weights_may_change_between_draws():
    lm, long = text_lm(CONFIGS["llama"]), Sampling(1.0, 1.0, WORTH + 4)
    before = generate(lm, PROMPTS, long, range(4))
    with torch.no_grad():
        for weight in lm.model.parameters():
            weight.mul_(-1)
    assert generate(lm, PROMPTS, long, range(4)) != before
    compare(lm)


@pytest.mark.parametrize("family", each(["qwen2_audio", "voxtral"]))
def test_audio_lms_draw_by_them(family: str):
    lm = tiny_audio_lm(family).lm
    assert type(Decoding(lm, *prefilled(lm), WORTH).way) is Fused
    compare(lm)


def test_a_few_steps_are_not_worth_a_copy():
    lm = text_lm(CONFIGS["llama"])
    assert type(Decoding(lm, *prefilled(lm), WORTH - 1).way) is Stepwise


def test_others_are_left_to_themselves(monkeypatch: pytest.MonkeyPatch):
    lm = text_lm(CONFIGS["llama"])
    assert not fused(text_lm(GraniteConfig(**SIZES)))  # it scales what its blocks add
    lm.model.model.layers[1].mlp.down_proj = torch.nn.Sequential(lm.model.model.layers[1].mlp.down_proj)
    assert not fused(lm)  # a layer that someone has put in place of a linear one
    lm = text_lm(CONFIGS["llama"])
    lm.model.model.norm.__dict__["forward"] = lm.model.model.norm.forward
    assert not fused(lm)  # a forward of someone's own
    lm = text_lm(LlamaConfig(**SIZES, attention_dropout=0.5))
    assert fused(lm)
    lm.model.train()
    assert not fused(lm)
    lm.model.eval()
    monkeypatch.setattr(llama_block, "MOST", 1000)
    assert not fused(lm)


def test_they_are_what_decoding_takes(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_text_lm()
    lm.end_ids = list(range(12))
    asked = (lm, PROMPTS, Sampling(1.0, 1.0, 40), range(12), 3)
    ours = generate(*asked)
    assert len({len(answer.ids) for answers in ours for answer in answers}) > 1  # rows left the batch on the way
    monkeypatch.setattr(decoding.Fused, "of", lambda *args: None)
    for answers, others in zip(ours, generate(*asked)):
        for mine, other in zip(answers, others):
            assert mine.ids == other.ids and mine.logprobs == pytest.approx(other.logprobs, abs=1e-4)
