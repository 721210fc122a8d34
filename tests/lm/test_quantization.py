"""4-bit weights: what they stand for, what is trained on them, and what becomes of it elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from releases import each, needs
from transformers import AutoModelForCausalLM

from rba.alignment.settings import AlignSettings
from rba.errors import ModelError, RecipeError
from rba.export.model import export_model
from rba.lm.flops import countable
from rba.lm.quantization import NF4, NONE, ROUNDED, check, quantize
from rba.lm.scorer import score
from rba.lm.scoring import backbone
from rba.models.adapters import adapter_parameters, add_lora, reference
from rba.models.load import load_merged, load_speechlm
from rba.models.speechlm import SpeechLM
from rba.testing.tiny_audio_lm import BUILDERS, save_tiny_audio_lm, tiny_audio_lm
from rba.testing.tiny_lm import tiny_text_lm
from rba.testing.tiny_speechlm import save_tiny_speechlm
from rba.testing.tiny_utterances import tiny_wave

CPU = torch.device("cpu")
ANSWER = [40, 41, 42, 43, 2]
IDS = torch.tensor([[5, 9, 13, 21, 8, 30, 11]])


def logp(speechlm: SpeechLM) -> torch.Tensor:
    return score(speechlm.lm, speechlm.prompts(speechlm.encode([tiny_wave(0)])), [ANSWER], 512)[0]


def packed_bytes(model: torch.nn.Module) -> dict[str, bytes]:
    return {n: p.data.cpu().numpy().tobytes() for n, p in model.named_parameters() if p.dtype == torch.uint8}


def test_without_bitsandbytes_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError, match=r"need bitsandbytes.*rba\[quantize\].*align.quantize=none"):
        check(NF4)
    check(NONE)


def test_packed_weights_cannot_be_divided():
    with pytest.raises(RecipeError, match=r"align\.quantize"):
        AlignSettings(quantize="nf4", sharding="fsdp")


def test_only_the_blocks_are_rounded_and_both_forms_stand_for_the_same_weights():
    pytest.importorskip("bitsandbytes")
    plain, packed, rounded = (tiny_text_lm(hidden=64).model for _ in range(3))
    quantize(packed, NF4, CPU, torch.float32)
    quantize(rounded, ROUNDED, CPU, torch.float32)
    shapes = {name: tuple(p.shape) for name, p in plain.named_parameters()}
    assert {name: tuple(p.shape) for name, p in rounded.named_parameters()} == shapes
    changed = {n for n, p in rounded.named_parameters() if not torch.equal(p, plain.get_parameter(n))}
    assert changed == {n for n in shapes if "_proj" in n}
    for name in changed:
        was, now = plain.get_parameter(name), rounded.get_parameter(name)
        assert 0.03 < (now - was).norm() / was.norm() < 0.12  # normal weights, 16 levels, blocks of 64
    stored = packed_bytes(packed)
    assert {n: 2 * len(b) for n, b in stored.items()} == {n: plain.get_parameter(n).numel() for n in changed}
    with torch.no_grad():
        torch.testing.assert_close(packed(IDS).logits, rounded(IDS).logits, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(packed(IDS).logits, plain(IDS).logits, atol=1e-2)
    assert countable(packed) and countable(plain)


@pytest.mark.parametrize("family", each(BUILDERS))
def test_nothing_is_packed_outside_the_blocks(family: str):
    pytest.importorskip("bitsandbytes")
    core = tiny_audio_lm(family).core
    quantize(core, NF4, CPU, torch.float32)
    blocks = set(backbone(core).layers.modules())
    packed = [module for module in core.modules() if type(module).__name__ == "Linear4bit"]
    assert packed and blocks.issuperset(packed)


@needs("phi4_multimodal")
def test_an_aligned_phi_4_on_packed_weights_opens_again(tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    speechlm = load_speechlm(save_tiny_audio_lm(tmp_path / "start", "phi4_multimodal"), "float32", quantize=NF4)
    add_lora(speechlm, rank=4)
    speechlm.save(tmp_path / "aligned")
    torch.testing.assert_close(logp(load_speechlm(tmp_path / "aligned", "float32")), logp(speechlm), atol=1e-5, rtol=0)


@pytest.mark.parametrize("save", [save_tiny_speechlm, save_tiny_audio_lm])
def test_an_adapter_learns_on_packed_weights_which_stay_and_comes_back_and_is_merged(save, tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    speechlm = load_speechlm(save(tmp_path / "start"), "float32", quantize=NF4)
    plain = logp(load_speechlm(tmp_path / "start", "float32"))
    before, start = packed_bytes(speechlm.lm.model), logp(speechlm)
    assert before and not torch.allclose(start, plain, atol=1e-3)
    add_lora(speechlm, rank=4)
    assert {p.dtype for p in adapter_parameters(speechlm)} == {torch.float32}
    optimizer = torch.optim.AdamW(adapter_parameters(speechlm), lr=2e-2)
    for _ in range(12):
        optimizer.zero_grad()
        loss = -logp(speechlm).sum()
        loss.backward()
        optimizer.step()
    assert loss < -start.sum() - 1
    assert list(packed_bytes(speechlm.lm.model).values()) == list(before.values())
    with reference(speechlm):
        torch.testing.assert_close(logp(speechlm), start.detach(), atol=1e-5, rtol=0)

    final = tmp_path / "run" / "final" / "sft"
    speechlm.save(final)
    assert json.loads((final / "speechlm.json").read_text())["quantize"] == NF4
    learnt = logp(speechlm).detach()
    again = load_speechlm(final, "float32")
    assert again.lm.quantize == NF4 and packed_bytes(again.lm.model)
    torch.testing.assert_close(logp(again).detach(), learnt, atol=1e-5, rtol=0)

    merged = load_merged(final)
    torch.testing.assert_close(logp(merged).detach(), learnt, atol=1e-4, rtol=0)
    export_model(tmp_path / "run", "transformers", tmp_path / "out")
    assert "quantize" not in (tmp_path / "out" / "config.json").read_text()
    if save is save_tiny_speechlm:
        whole = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
        with torch.no_grad():
            own = again.lm.model(IDS.to(again.lm.device)).logits
            torch.testing.assert_close(whole(IDS).logits, own.cpu(), atol=1e-4, rtol=1e-4)
    else:
        torch.testing.assert_close(logp(load_speechlm(tmp_path / "out", "float32")).detach(), learnt, atol=1e-4, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_packs_what_is_put_on_it():
    pytest.importorskip("bitsandbytes")
    model, device = tiny_text_lm(hidden=64).model, torch.device("cuda")
    quantize(model, NF4, device, torch.bfloat16)
    model = model.to(device)
    assert {p.device.type for p in model.parameters()} == {"cuda"} and packed_bytes(model.cpu())
