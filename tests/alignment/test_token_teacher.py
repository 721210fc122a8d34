"""Who may teach tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rba.alignment.token_teacher import check_vocabulary, load_token_teacher, own_teacher
from rba.errors import ModelError
from rba.lm import chat
from rba.lm.scoring import response_states
from rba.models.adapters import add_lora
from rba.testing.tiny_lm import save_tiny_lm, tiny_text_lm

from .conftest import SMALL, Bench


def test_another_model_with_the_same_tokens_may_teach(bench: Bench, tmp_path: Path):
    teacher = load_token_teacher(
        bench.speechlm, replace(SMALL, token_teacher=str(save_tiny_lm(tmp_path / "other", seed=5)))
    )
    (states,) = teacher.states(["hello"], [[10, 11, 2]])
    other = tiny_text_lm(5)
    prompt = [other.embed(chat.prompt_ids(other.tokenizer, "hello"))]
    ((plain,),) = response_states(other.model, prompt, [[10, 11, 2]])
    torch.testing.assert_close(states, plain, atol=1e-5, rtol=1e-4)
    assert not states.requires_grad


def test_other_tokens_are_refused_with_the_methods_that_still_work():
    student, teacher = tiny_text_lm(0), tiny_text_lm(1)
    teacher.tokenizer.add_tokens(["hello"])
    with pytest.raises(ModelError, match="another tokenizer") as refusal:
        check_vocabulary(student, teacher, replace(SMALL, token_teacher="other"))
    assert "dpo, grpo, ppo, rba-group, rba-single, rloo, sft, tars" in str(refusal.value)


def test_another_end_of_turn_is_refused():
    student, teacher = tiny_text_lm(0), replace(tiny_text_lm(1), end_ids=[0])
    with pytest.raises(ModelError, match="ends its turns"):
        check_vocabulary(student, teacher, replace(SMALL, token_teacher="other"))


def test_an_adapter_on_the_head_is_not_the_teachers(bench: Bench):
    head = bench.speechlm.lm.model.get_output_embeddings()
    add_lora(bench.speechlm, 4, 8, targets=["q_proj", "lm_head"], seed=1)
    assert bench.speechlm.lm.model.get_output_embeddings() is not head
    assert own_teacher(bench.speechlm, SMALL).head is head
