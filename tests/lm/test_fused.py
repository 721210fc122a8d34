"""Blocks whose operations are joined give what the model's own give, for every row, whatever has left the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LNTuningConfig, LoraConfig, get_peft_model
from prefilled import PROMPTS, prefilled, same
from releases import each
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.llama.modeling_llama import LlamaMLP

from rba.lm.decoding import WORTH, Decoding
from rba.lm.fused import Fused
from rba.lm.generation import Completion, generate
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
        torch.testing.assert_close(ours.logits(token_B), wanted, atol=3e-5 * float(wanted.std()), rtol=1e-5)
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


@pytest.mark.parametrize(
    "kind", [{"use_rslora": True}, {"alpha_pattern": {"v_proj": 5}, "rank_pattern": {"v_proj": 2}}]
)
def test_an_adapter_has_its_own_scale(kind: dict[str, Any]):
    compare(adapted(text_lm(CONFIGS["llama"]), target_modules="all-linear", **kind))


def off(lm: TextLM) -> None:
    lm.model.disable_adapter_layers()


def merged(lm: TextLM) -> None:
    lm.model.merge_adapter()


def second(lm: TextLM) -> None:
    lm.model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj"]))
    lm.model.base_model.set_adapter(["default", "second"])


@pytest.mark.parametrize("kind", [{"use_dora": True}, {"lora_bias": True}])
def test_adapters_that_do_more_than_add_two_products_are_left_to_themselves(kind: dict[str, Any]):
    assert not fused(adapted(text_lm(CONFIGS["llama"]), target_modules=["q_proj"], **kind))


@pytest.mark.parametrize("change", [off, merged, second])
def test_so_are_those_that_are_off_merged_or_several(change: Callable[[TextLM], None]):
    lm = adapted(text_lm(CONFIGS["llama"]), target_modules=["q_proj"])
    change(lm)
    assert not fused(lm)


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


def drawn(lm: TextLM, monkeypatch: pytest.MonkeyPatch, joined: bool) -> list[list[Completion]]:
    """Answers long enough for a copy, which end by themselves; by `joined` operations or the model's own passes."""
    lm.end_ids, begun = list(range(12)), list[Fused | None]()

    def seen(cls: type[Fused], *args: Any) -> Fused | None:
        begun.append(of(*args) if joined else None)
        return begun[-1]

    with monkeypatch.context() as patch:
        of = Fused.of
        patch.setattr(Fused, "of", classmethod(seen))
        answers = generate(lm, PROMPTS, Sampling(1.0, 1.0, 40), range(12), 3)
    assert [way is not None for way in begun] == [joined]
    return answers


def test_answers_are_those_of_the_models_own_passes_also_once_its_weights_have_changed(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_text_lm()
    before = drawn(lm, monkeypatch, True)
    assert len({len(answer.ids) for answers in before for answer in answers}) > 1  # rows left the batch on the way
    same(before, drawn(lm, monkeypatch, False))
    with torch.no_grad():
        for weight in lm.model.parameters():
            weight.mul_(-1)
    after = drawn(lm, monkeypatch, True)
    same(after, drawn(lm, monkeypatch, False))
    assert [a.ids for row in after for a in row] != [a.ids for row in before for a in row]


@pytest.mark.parametrize("family", each(["qwen2_audio", "voxtral"]))
def test_audio_lms_draw_by_them(family: str):
    lm = tiny_audio_lm(family).lm
    assert type(Decoding(lm, *prefilled(lm), WORTH).way) is Fused
    compare(lm)


def test_a_few_steps_are_not_worth_a_copy():
    lm = text_lm(CONFIGS["llama"])
    assert type(Decoding(lm, *prefilled(lm), WORTH - 1).way) is Stepwise


class OwnMlp(LlamaMLP):
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(states)


def zero(module: torch.nn.Module, args: Any, made: Any) -> Any:
    return None


def reached(lm: TextLM, name: str) -> None:
    lm.model.get_submodule(name).register_forward_hook(zero)


CHANGES: dict[str, Callable[[TextLM], Any]] = {
    "a hook on the decoder": lambda lm: reached(lm, "model"),
    "a hook on a block": lambda lm: reached(lm, "model.layers.1"),
    "a hook on a norm": lambda lm: reached(lm, "model.layers.1.input_layernorm"),
    "a hook on a linear layer": lambda lm: reached(lm, "model.layers.1.mlp.up_proj"),
    "a hook before a block": lambda lm: lm.model.model.layers[0].register_forward_pre_hook(lambda module, args: None),
    "a forward of someone's own": lambda lm: setattr(lm.model.model, "forward", lambda **inputs: None),
    "a class of someone's own": lambda lm: setattr(lm.model.model.layers[1].mlp, "__class__", OwnMlp),
    "another norm": lambda lm: setattr(lm.model.model.layers[2], "input_layernorm", torch.nn.RMSNorm(32)),
    "no linear layer": lambda lm: setattr(lm.model.model.layers[1].mlp, "down_proj", torch.nn.Identity()),
    "no MLP": lambda lm: setattr(lm.model.model.layers[1], "mlp", torch.nn.Identity()),
    "another format": lambda lm: lm.model.model.layers[1].mlp.up_proj.half(),
    "a norm that is tuned": lambda lm: get_peft_model(lm.model, LNTuningConfig(target_modules=["input_layernorm"])),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_someone_has_a_hand_in_is_left_to_itself(change: str):
    lm = text_lm(CONFIGS["llama"])
    assert fused(lm)
    CHANGES[change](lm)
    cache = DynamicCache()
    assert Fused.of(lm.model, cache, torch.arange(4)) is None


@torch.no_grad()
def test_hidden_states_may_have_been_asked_for():
    """Which leaves hooks of transformers behind."""
    lm = text_lm(CONFIGS["llama"])
    lm.model(torch.tensor([[5, 6, 7]]), output_hidden_states=True)
    compare(lm)


def test_a_class_whose_forward_was_replaced_is_left_to_itself(monkeypatch: pytest.MonkeyPatch):
    lm = text_lm(CONFIGS["llama"])
    monkeypatch.setattr(LlamaMLP, "forward", lambda mlp, states: mlp.up_proj(states)[..., :32])
    assert not fused(lm)


def test_so_are_llms_that_are_built_otherwise_or_drop_or_are_too_large(monkeypatch: pytest.MonkeyPatch):
    assert not fused(text_lm(GraniteConfig(**SIZES)))  # it scales what its blocks add
    lm = text_lm(LlamaConfig(**SIZES, attention_dropout=0.5))
    assert fused(lm)
    lm.model.train()
    assert not fused(lm)
    lm.model.eval()
    blocks = sum(weight.nbytes for weight in lm.model.model.layers.parameters())
    monkeypatch.setattr("rba.lm.fused.MOST", blocks + lm.model.lm_head.weight.nbytes)
    assert fused(lm)
    monkeypatch.setattr("rba.lm.fused.MOST", blocks + lm.model.lm_head.weight.nbytes - 1)
    assert not fused(lm)


def test_so_are_all_under_an_autocast():
    lm = text_lm(CONFIGS["llama"])
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused(lm)
