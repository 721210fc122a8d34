"""Attention as plain products equals torch's own, with its gradients, and is used only where it is asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import profile
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from rba.lm import attention as room
from rba.lm.attention import attention, short_attention
from rba.testing.tiny_lm import tiny_text_lm

CPU = torch.device("cpu")


def parts(batch: int, heads: int, groups: int, steps: int, width: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Queries, keys and values of size 8 with a gradient."""
    torch.manual_seed(steps)
    sizes = [(batch, heads, steps, 8), (batch, groups, width, 8), (batch, groups, width, 8)]
    return [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]


def with_gradients(mixed: torch.Tensor, leaves: list[torch.Tensor]) -> list[torch.Tensor]:
    """The result, and the gradients of a weighted sum of it."""
    weights = torch.linspace(-1, 1, mixed.numel(), dtype=mixed.dtype).view_as(mixed)
    return [mixed, *torch.autograd.grad((mixed * weights).sum(), leaves)]


@settings(deadline=None)
@given(
    batch=st.integers(1, 4),
    groups=st.integers(1, 3),
    repeats=st.integers(1, 3),
    steps=st.integers(1, 6),
    before=st.integers(0, 5),
    mask=st.sampled_from(["none", "bool", "added", "shared"]),
)
def test_it_equals_torchs_with_gradients(batch: int, groups: int, repeats: int, steps: int, before: int, mask: str):
    width = steps + before
    leaves = parts(batch, groups * repeats, groups, steps, width, torch.float64)
    seen = torch.ones(batch, 1, steps, width, dtype=torch.bool).tril(before)
    added = torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, -torch.inf)
    asked = {"none": None, "bool": seen, "added": added, "shared": seen[:1]}[mask]
    ours = attention(*leaves, asked, 0.3)
    wanted = scaled_dot_product_attention(*leaves, asked, scale=0.3, enable_gqa=True)
    for own, theirs in zip(with_gradients(ours, leaves), with_gradients(wanted, leaves)):
        torch.testing.assert_close(own, theirs, atol=1e-12, rtol=1e-12)


def test_parts_of_a_batch_are_the_batch(monkeypatch: pytest.MonkeyPatch):
    leaves, seen = parts(5, 4, 2, 3, 7, torch.float32), torch.rand(5, 1, 3, 7) < 0.7
    whole = with_gradients(attention(*leaves, seen, 0.3), leaves)
    monkeypatch.setattr(room, "AT_ONCE", 100)  # two rows at a time, and one at the end
    for own, theirs in zip(with_gradients(attention(*leaves, seen, 0.3), leaves), whole):
        torch.testing.assert_close(own, theirs, atol=1e-6, rtol=0)


def test_bfloat16_is_as_near_the_truth_as_torchs_own():
    rows = parts(4, 6, 2, 24, 40, torch.bfloat16)
    seen = torch.ones(4, 1, 24, 40, dtype=torch.bool).tril(16)
    scale = 2.0  # scores of about 20, where bfloat16 is too coarse for them

    def errors(way: str) -> list[float]:
        truth_leaves = [part.detach().double().requires_grad_() for part in rows]
        truth = with_gradients(
            scaled_dot_product_attention(*truth_leaves, seen, scale=scale, enable_gqa=True), truth_leaves
        )
        mixed = (
            attention(*rows, seen, scale)
            if way == "ours"
            else scaled_dot_product_attention(*rows, seen, scale=scale, enable_gqa=True)
        )
        pairs = [(own.detach().double(), true.detach()) for own, true in zip(with_gradients(mixed, rows), truth)]
        return [float((own - true).norm() / true.norm()) for own, true in pairs]

    assert all(ours < 1.5 * theirs for ours, theirs in zip(errors("ours"), errors("torch's")))


def test_a_pad_that_sees_nothing_is_a_number():
    leaves, seen = parts(2, 2, 1, 3, 3, torch.float32), torch.zeros(2, 1, 3, 3, dtype=torch.bool)
    assert all(torch.isfinite(part).all() for part in with_gradients(attention(*leaves, seen, 0.3), leaves))


@pytest.mark.parametrize("padded", [False, True])
def test_a_model_gives_the_same_logits_and_gradients_within(padded: bool):
    lm = tiny_text_lm()
    ids, mask = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]]), torch.ones(2, 4, dtype=torch.long)
    mask[0, :2] = 0 if padded else 1
    embeds = lm.model.get_input_embeddings()(ids).detach().requires_grad_()

    def real() -> list[torch.Tensor]:
        logits = lm.model(inputs_embeds=embeds, attention_mask=mask).logits[mask.bool()]
        return with_gradients(logits, [embeds])

    outside = real()
    with short_attention(CPU):
        within = real()
    for own, theirs in zip(within, outside):
        torch.testing.assert_close(own, theirs, atol=1e-5, rtol=1e-5)


def ours_used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the queries of every call of our attention."""
    calls: list[int] = []

    def counted(query: torch.Tensor, *rest: object) -> torch.Tensor:
        calls.append(query.shape[2])
        return attention(query, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "attention", counted)
    return calls


def test_it_is_used_within_and_in_this_thread_alone(monkeypatch: pytest.MonkeyPatch):
    lm, calls = tiny_text_lm(), ours_used(monkeypatch)
    ids = torch.tensor([[5, 6, 7]])
    with short_attention(CPU):
        lm.model(ids)
        assert calls == [3] * lm.model.config.num_hidden_layers
        with ThreadPoolExecutor(1) as threads:
            threads.submit(lm.model, ids).result()
    lm.model(ids)
    assert len(calls) == lm.model.config.num_hidden_layers


def test_long_rows_are_left_to_torch(monkeypatch: pytest.MonkeyPatch):
    lm, calls = tiny_text_lm(), ours_used(monkeypatch)
    monkeypatch.setattr(room, "LONG", 9)
    with short_attention(CPU):
        lm.model(torch.tensor([[5, 6, 7]]))
    assert not calls


def test_long_rows_are_read_by_the_fused_kernels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "LONG", 9)
    with short_attention(CPU), profile() as seen:
        tiny_text_lm().model(torch.tensor([[5, 6, 7]]))
    assert any("flash_attention" in event.key for event in seen.key_averages())


def test_under_autocast_it_is_of_one_format_with_gradients():
    # in a float32 model positions are turned in float32: queries and keys are wider there than values
    lm = tiny_text_lm()
    embeds = lm.embed([5, 6, 7])[None].detach().requires_grad_()

    def real() -> list[torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return with_gradients(lm.model(inputs_embeds=embeds, use_cache=False).logits.float(), [embeds])

    outside = real()
    with short_attention(CPU):
        within = real()
    for own, theirs in zip(within, outside):
        assert (own - theirs).norm() < 0.02 * theirs.norm()


def test_one_row_of_queries_may_be_asked_of_many_rows_of_keys():
    attend = ALL_ATTENTION_FUNCTIONS["sdpa"]
    query, keys = torch.randn(1, 2, 3, 8), torch.randn(4, 2, 5, 8)
    wanted, _ = attend(torch.nn.Identity(), query, keys, keys, None, is_causal=False)
    with short_attention(CPU):
        found, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](torch.nn.Identity(), query, keys, keys, None, is_causal=False)
    torch.testing.assert_close(found, wanted)
