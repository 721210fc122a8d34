"""The cache with room: what transformers' own holds, without copying it at every token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, MistralConfig
from transformers.cache_utils import DynamicLayer

from rba.lm import cache, decoding
from rba.lm.cache import RoomyLayer, roomy_cache
from rba.lm.generation import generate
from rba.lm.sampling import Sampling
from rba.testing.tiny_lm import tiny_text_lm

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("repeat"), st.integers(1, 3)),
        st.tuples(st.just("select"), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=50)
@given(STEPS, st.integers(0, 4))
def test_it_holds_what_the_plain_one_holds(steps, room):
    ours, plain = RoomyLayer(), DynamicLayer()
    torch.manual_seed(0)
    rows = 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "ROOM", room)
        for kind, number in [("append", 3), *steps]:
            if kind == "append":
                new = torch.randn(rows, 2, number, 4), torch.randn(rows, 2, number, 4)
                for mine, theirs in zip(ours.update(*new), plain.update(*new)):
                    assert torch.equal(mine, theirs)
            elif kind == "repeat":
                rows *= number
                ours.batch_repeat_interleave(number), plain.batch_repeat_interleave(number)
            else:
                index = torch.arange(rows)[:: number + 1]
                rows = len(index)
                ours.batch_select_indices(index), plain.batch_select_indices(index)
            assert torch.equal(ours.keys, plain.keys) and torch.equal(ours.values, plain.values)
            assert ours.get_seq_length() == plain.get_seq_length()


def test_a_token_is_written_into_the_room_and_nothing_is_moved():
    layer = RoomyLayer()
    layer.update(torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 4))
    place = layer.keys.data_ptr()
    for _ in range(cache.ROOM):
        layer.update(torch.randn(2, 2, 1, 4), torch.randn(2, 2, 1, 4))
        assert layer.keys.data_ptr() == place
    layer.update(torch.randn(2, 2, 1, 4), torch.randn(2, 2, 1, 4))
    assert layer.keys.data_ptr() != place and layer.get_seq_length() == 5 + cache.ROOM + 1


def test_layers_with_windows_stay_as_they_are():
    config = MistralConfig(num_hidden_layers=2, sliding_window=8)
    assert [type(x) for x in roomy_cache(config).layers] == [type(x) for x in DynamicCache(config=config).layers]


@pytest.mark.parametrize("group", [1, 3])
def test_answers_are_the_same_to_the_last_bit(group, monkeypatch):
    lm = tiny_text_lm()
    lm.end_ids = list(range(12))
    prompts = [[5, 6, 7], [8, 9], [4] * 9, [3, 5, 8, 13]]
    asked = (lm, prompts, Sampling(1.0, 1.0, 40), list(range(len(prompts) * group)), group)
    monkeypatch.setattr(decoding, "groupable", lambda model, cache, device: False)
    monkeypatch.setattr(cache, "ROOM", 6)
    ours = generate(*asked)
    monkeypatch.setattr(cache, "roomy_cache", lambda config: DynamicCache(config=config))
    assert ours == generate(*asked)
    assert len({len(answer.ids) for answers in ours for answer in answers}) > 1  # rows left the batch on the way
