"""A prompt of several clips: each is heard in its place, as the model's own forward pass hears it, or it is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from releases import each, each_of_several, needs

from rba.errors import ModelError
from rba.lm import chat
from rba.lm.preamble import Preamble
from rba.lm.scorer import keeps_everything, score
from rba.lm.scoring import response_logits, token_logprobs
from rba.models import turns
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.clips import clips_of
from rba.models.told import told
from rba.testing.tiny_audio_lm import AUDIO_TEMPLATE, BUILDERS, NOT_SHARED, tiny_audio_lm, tiny_audio_tokenizer
from rba.testing.tiny_speechlm import tiny_speechlm
from rba.testing.tiny_utterances import tiny_wave

ANSWERS = [[40, 41, 42, 2], [50, 2], [60, 61, 62, 63, 64, 2]]
EVEN = [tiny_wave(0), tiny_wave(1)]
UNEVEN = [tiny_wave(0), tiny_wave(1, 1.0)]
COMPACT = "compact"
ALONE = ("audioflamingo3", "glmasr", "musicflamingo", "qwen3_asr", "fun_asr_nano")
TOGETHER = [name for name in BUILDERS if name not in ALONE]


def tiny(name: str) -> Any:
    return tiny_speechlm() if name == COMPACT else tiny_audio_lm(name)


@torch.no_grad()
@pytest.mark.parametrize("family", each_of_several(TOGETHER))
def test_two_clips_give_the_logits_of_the_familys_own_forward_pass(family: str):
    speechlm, answer = tiny(family), ANSWERS[2]
    (prompt,) = speechlm.prompts([speechlm.encode(EVEN)])
    inputs = speechlm.inputs(EVEN)
    assert inputs["input_ids"].shape[1] == len(prompt)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([answer])], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    own = speechlm.core(**inputs).logits[0, len(prompt) - 1 : -1]
    (found,) = response_logits(speechlm.lm.model, [prompt], [answer])
    torch.testing.assert_close(found, own, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_three_clips_are_numbered_by_the_template_and_heard_in_its_words():
    speechlm = tiny("qwen2_audio")
    numbered = "{% set ns = namespace(n=0) %}" + AUDIO_TEMPLATE.replace(
        "<|audio_start|>", "{% set ns.n = ns.n + 1 %}Audio {{ ns.n }}: <|audio_start|>"
    )
    speechlm.lm.tokenizer.chat_template = numbered
    waves = [*UNEVEN, tiny_wave(2, 0.7)]
    (prompt,) = speechlm.prompts([speechlm.encode(waves)], Preamble("Compare.", before="Hear: ", after="\nWhich?"))
    turn = "".join(f"Audio {n}: <|audio_start|><|audio|><|audio_end|>" for n in (1, 2, 3))
    text = "".join(
        f"<|im_start|>{role}\n{said}<|im_end|>\n"
        for role, said in (("system", "Compare."), ("user", f"Hear: {turn}\nWhich?"))
    )
    made = speechlm.processor(
        text=[f"{text}<|im_start|>assistant\n"], audio=waves, return_tensors="pt", sampling_rate=16_000
    )
    ids = torch.cat([made["input_ids"], torch.tensor([ANSWERS[0]])], 1)
    own = speechlm.core(**{**made, "input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits
    (found,) = response_logits(speechlm.lm.model, [prompt], ANSWERS[:1])
    torch.testing.assert_close(found, own[0, len(prompt) - 1 : -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", each(ALONE))
def test_a_family_whose_processor_takes_one_clip_says_so_in_one_line(family: str):
    speechlm = tiny(family)
    features = speechlm.encode(UNEVEN)
    with pytest.raises(ModelError, match=r"one clip per prompt: the processor of .* takes no more .*; ask about one"):
        speechlm.prompts([features])
    with pytest.raises(ModelError, match="one clip per prompt"):
        speechlm.inputs(UNEVEN)
    assert len(speechlm.prompts([[feature] for feature in features])) == 2


@torch.no_grad()
@pytest.mark.parametrize("family", each([COMPACT, *TOGETHER]))
def test_a_row_of_two_clips_is_the_same_alone_and_beside_rows_of_one(family: str):
    speechlm = tiny(family)
    first, second = speechlm.encode(UNEVEN)
    heard = [[first, second], first, [second, first]]
    together, alone = speechlm.prompts(heard), [speechlm.prompts([clips])[0] for clips in heard]
    for row, single in zip(together, alone):
        torch.testing.assert_close(row, single, atol=1e-5, rtol=0)
    logp = [score(speechlm.lm, [row], [answer], 512)[0] for row, answer in zip(alone, ANSWERS)]
    for found in (score(speechlm.lm, together, ANSWERS, 512), token_logprobs(speechlm.lm.model, together, ANSWERS)):
        torch.testing.assert_close(torch.cat(found), torch.cat(logp), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("family", each([COMPACT, *TOGETHER]))
def test_one_clip_in_a_list_is_the_clip_itself(family: str):
    speechlm = tiny(family)
    features = speechlm.encode(UNEVEN)
    pairs = zip(speechlm.prompts(features), speechlm.prompts([[feature] for feature in features]), strict=True)
    assert all(torch.equal(plain, listed) for plain, listed in pairs)


@pytest.mark.parametrize("family", each(name for name in [COMPACT, *TOGETHER] if name not in NOT_SHARED))
def test_gradients_of_two_clips_through_shared_prompts_are_those_of_the_plain_path(family: str):
    speechlm = tiny(family)
    add_lora(speechlm, 4, 8, seed=1)
    assert keeps_everything(speechlm.lm)  # else nothing is shared
    first, second = speechlm.encode(UNEVEN)
    answers = [*ANSWERS, *ANSWERS[:2]]
    trained = [*adapter_parameters(speechlm), *speechlm.connector_parameters()]
    found = []
    for score_all in (
        lambda prompts: score(speechlm.lm, prompts, answers, 512),
        lambda prompts: token_logprobs(speechlm.lm.model, prompts, answers),
    ):
        for parameter in trained:
            if parameter.is_floating_point():
                parameter.requires_grad_(True).grad = None
        both, one = speechlm.prompts([[first, second], first])
        logp = torch.cat(score_all([both, one, both, one, both]))
        (logp * torch.arange(1.0, len(logp) + 1)).sum().backward()
        found.append((logp.detach(), torch.cat([p.grad.flatten() for p in trained if p.grad is not None])))
    (logp, gradient), (plain_logp, plain_gradient) = found
    torch.testing.assert_close(logp, plain_logp, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradient, plain_gradient, atol=1e-3, rtol=1e-4)
    assert float(plain_gradient.abs().max()) > 0.1


@torch.no_grad()
def test_clips_of_the_compact_model_stand_on_lines_of_their_own_and_are_read_in_one():
    speechlm = tiny(COMPACT)
    features = speechlm.encode(UNEVEN)
    (both,), (words,) = speechlm.listen([features])
    rows, read = speechlm.listen(features)
    before, after = chat.frame(speechlm.lm.tokenizer)
    inner = [row[len(before) : len(row) - len(after)] for row in rows]
    line = speechlm.lm.embed(speechlm.lm.tokenizer("\n")["input_ids"])
    expected = torch.cat([rows[0][: len(before)], inner[0], line, inner[1], rows[0][len(rows[0]) - len(after) :]])
    torch.testing.assert_close(both, expected, atol=1e-5, rtol=0)
    assert words == " ".join(read)


@torch.no_grad()
@needs("desta25")
def test_desta_reads_the_words_of_all_clips():
    speechlm = tiny("desta25")
    features = speechlm.encode(UNEVEN)
    assert speechlm.listen([features])[1] == [" ".join(filter(None, speechlm.listen(features)[1]))]


@torch.no_grad()
def test_a_model_that_is_told_its_task_is_told_it_once_for_all_clips():
    speechlm = tiny(COMPACT)
    features = [speechlm.encode(UNEVEN)]
    (found,), (wanted,) = (
        told(speechlm, "Translate: {}").prompts(features),
        speechlm.prompts(features, Preamble(before="Translate: ")),
    )
    assert torch.equal(found, wanted)


def test_where_content_is_plain_text_clips_stand_on_lines_of_their_own():
    tokenizer = tiny_audio_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    assert turns.render(tokenizer, turns.AUDIO, None, "<|audio|>", clips=2) == "[<|audio|>\n<|audio|>]"


def test_a_template_that_leaves_out_a_clip_is_refused():
    tokenizer = tiny_audio_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'][:9] }}]{% endfor %}"
    assert turns.render(tokenizer, turns.AUDIO, None, "<|audio|>") == "[<|audio|>]"
    with pytest.raises(ModelError, match="no place for audio"):
        turns.render(tokenizer, turns.AUDIO, None, "<|audio|>", clips=2)


def test_a_prompt_hears_something():
    with pytest.raises(ValueError, match="at least one clip"):
        clips_of([])
    assert clips_of(np.zeros(3))[0].shape == (3,)
