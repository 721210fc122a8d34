"""Keys and values by groups: the answers to a prompt share its own, and nothing that is drawn depends on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from prefilled import PROMPTS, prefilled, same
from releases import each
from transformers import DiffLlamaConfig, DiffLlamaForCausalLM, DynamicCache

from rba.lm import decoding, grouped
from rba.lm.attention import attention, short_attention
from rba.lm.cache import RoomyLayer, roomy_cache
from rba.lm.decoding import Decoding
from rba.lm.generation import generate
from rba.lm.grouped import GroupedLayer, Groups, Kept, group, groupable
from rba.lm.sampling import Sampling
from rba.lm.scoring import backbone
from rba.testing.tiny_audio_lm import tiny_audio_lm
from rba.testing.tiny_lm import tiny_text_lm


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


CPU = torch.device("cpu")


def layers(prompts: int = 3, answers: int = 2, length: int = 5) -> tuple[RoomyLayer, GroupedLayer, torch.Tensor]:
    """The same keys and values, row by row and by groups, behind prompts of which the first is shorter; their mask."""
    keys, values = torch.randn(2, prompts, 2, length, 8)
    mask_PT = torch.ones(prompts, length, dtype=torch.long)
    mask_PT[0, :2] = 0
    plain, cache = RoomyLayer(), DynamicCache()
    plain.update(*(part.repeat_interleave(answers, 0) for part in (keys, values)))
    layer = RoomyLayer()
    layer.update(keys, values)
    cache.layers = [layer]
    group(cache, mask_PT, answers)
    return plain, cache.layers[0], mask_PT.repeat_interleave(answers, 0)


def step(plain: RoomyLayer, ours: GroupedLayer, mask_BT: torch.Tensor) -> torch.Tensor:
    """One more token for every row; all mixes are the same. The mask that now holds."""
    rows = len(mask_BT)
    key, value, query = torch.randn(rows, 2, 1, 8), torch.randn(rows, 2, 1, 8), torch.randn(rows, 6, 1, 8)
    mask_BT = torch.cat([mask_BT, mask_BT.new_ones(rows, 1)], 1)
    kept, _ = ours.update(key, value)
    wanted = attention(query, *plain.update(key, value), mask_BT.bool()[:, None, None], 0.3)
    torch.testing.assert_close(kept.layer.attend(query[:, :, 0], 0.3), wanted[:, :, 0], atol=1e-6, rtol=1e-5)
    return mask_BT


def test_attention_is_that_of_rows_by_themselves_while_rows_and_prompts_leave(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grouped, "ROOM", 3)
    plain, ours, mask_BT = layers()
    for kept in ([0, 1, 2, 3, 4, 5], [0, 2, 3, 4, 5], [0, 3, 4], [1, 2], [1]):
        index_B = torch.tensor(kept)
        plain.reorder_cache(index_B), ours.reorder_cache(index_B)
        mask_BT = mask_BT[index_B]
        for _ in range(2):
            mask_BT = step(plain, ours, mask_BT)
    assert ours.get_seq_length() == plain.get_seq_length() == 15


def test_a_prompt_is_kept_once_and_no_longer_than_it_is_answered():
    _, ours, _ = layers(prompts=3, answers=2)
    assert ours._keys_PGDT.shape[0] == 3 and ours._own_keys.shape[:3] == (3, 2, 2)
    ours.reorder_cache(torch.tensor([0, 1, 4]))  # the second prompt has no answer left, the third has one
    assert ours._keys_PGDT.shape[0] == 2 and ours._own_keys.shape[:3] == (2, 2, 2)
    assert ours.groups.place_B is not None and ours.groups.place_B.tolist() == [0, 1, 2]


def test_rows_come_back_from_their_places():
    groups = Groups.of(torch.tensor([0, 1, 1, 1, 2, 2]), torch.zeros(3, 1, 1, 1))
    rows = torch.randn(6, 2, 4)
    assert groups.most == 3 and groups.spread(rows).shape == (3, 2, 3, 4)
    assert torch.equal(groups.gather(groups.spread(rows)), rows)


def test_whatever_asks_for_a_tensor_gets_one():
    plain, ours, mask_BT = layers()
    step(plain, ours, mask_BT)
    key, value = Kept(ours, ours.all_keys), Kept(ours, ours.all_values)
    assert plain.keys is not None and plain.values is not None
    assert torch.equal(torch.as_tensor(key.transpose(2, 3)), plain.keys.transpose(2, 3))
    assert torch.equal(value[:, :, None], plain.values[:, :, None]) and key.shape == plain.keys.shape
    query = torch.randn(6, 2, 1, 8)
    torch.testing.assert_close(query @ key.mT, query @ plain.keys.mT)
    torch.testing.assert_close(key @ query.mT, plain.keys @ query.mT)
    assert torch.equal(torch.cat([key, key], 1), torch.cat([plain.keys, plain.keys], 1))
    assert torch.equal(key * 2, plain.keys * 2) and torch.equal(2 * value, 2 * plain.values) and len(key) == 6


@torch.no_grad()
@pytest.mark.parametrize("special", [True, False])
def test_a_layer_with_a_bias_of_its_own_reads_plain_tensors(special: bool, monkeypatch: pytest.MonkeyPatch):
    lm, token_B = tiny_text_lm(), torch.tensor([5, 6, 7, 8])
    ungrouped(monkeypatch)
    wanted = Decoding(lm, *prefilled(lm), 2).logits(token_B)
    monkeypatch.undo()
    with short_attention(CPU):
        torch.testing.assert_close(Decoding(lm, *prefilled(lm), 2).logits(token_B), wanted, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(decoding, "_APART", set())
    monkeypatch.setattr("rba.lm.attention._is_special", lambda asked: special)
    if special:
        monkeypatch.setattr(GroupedLayer, "attend", None)  # not asked
    torch.testing.assert_close(Decoding(lm, *prefilled(lm), 2).logits(token_B), wanted, atol=1e-5, rtol=1e-5)
    assert bool(decoding._APART) == special


def test_a_model_that_changes_what_it_kept_is_given_it_and_grouped_no_more(monkeypatch: pytest.MonkeyPatch):
    """DiffLlama asks twice, of halves of the values."""
    lm = tiny_text_lm()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = DiffLlamaConfig(vocab_size=len(lm.tokenizer), num_key_value_heads=2, **sizes)
    lm = replace(lm, model=DiffLlamaForCausalLM(config).eval(), end_ids=list(range(12)))
    monkeypatch.setattr(decoding, "_APART", set())
    asked = (lm, PROMPTS, Sampling(1.0, 1.0, 20), range(12), 3)
    ours = generate(*asked)
    assert {type(backbone(lm.model))} == decoding._APART
    same(ours, generate(*asked))  # as rows by themselves


def ungrouped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "groupable", lambda model, cache, device: False)


@pytest.mark.parametrize("answers", [1, 3])
def test_answers_are_those_of_rows_by_themselves(answers: int, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_text_lm()
    lm.end_ids = list(range(12))
    asked = (lm, PROMPTS, Sampling(1.0, 1.0, 40), list(range(len(PROMPTS) * answers)), answers)
    ours = generate(*asked)
    assert len({len(answer.ids) for group in ours for answer in group}) > 1  # rows left the batch on the way
    ungrouped(monkeypatch)
    same(ours, generate(*asked))


@pytest.mark.parametrize("family", each(["qwen2_audio", "qwen2_5_omni_thinker", "voxtral", "granite_speech"]))
def test_so_are_those_of_audio_lms_which_ask_for_no_tensor(family: str, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_audio_lm(family).lm
    asked = (lm, PROMPTS, Sampling(1.0, 1.0, 12), range(8), 2)
    whole = GroupedLayer._whole
    monkeypatch.setattr(GroupedLayer, "_whole", None)
    ours = generate(*asked)
    monkeypatch.setattr(GroupedLayer, "_whole", whole)
    ungrouped(monkeypatch)
    same(ours, generate(*asked))


def test_windows_and_other_attention_are_left_alone():
    windowed, lm = tiny_audio_lm(window=6).lm, tiny_text_lm()
    assert not groupable(windowed.model, roomy_cache(windowed.model.config), CPU)
    assert groupable(lm.model, roomy_cache(lm.model.config), CPU)
    assert not groupable(lm.model, roomy_cache(lm.model.config), torch.device("cuda"))
    lm.model.config._attn_implementation = "eager"
    assert not groupable(lm.model, roomy_cache(lm.model.config), CPU)
