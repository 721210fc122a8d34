"""Who may teach tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from services.fault_server import FaultServer, serving
from services.scoring import scores

from rba.alignment.engine import Engine
from rba.alignment.objectives.objective import Request, load_objective
from rba.alignment.objectives.settings import OpdSettings, RbaOpdSettings
from rba.alignment.settings import AlignSettings
from rba.alignment.token_teacher import check_served, check_vocabulary, load_token_teacher, own_teacher
from rba.errors import ModelError, RecipeError
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
    torch.testing.assert_close(states.cpu(), plain, atol=1e-5, rtol=1e-4)
    assert not states.requires_grad


def test_other_tokens_are_refused_with_the_methods_that_still_work():
    student, teacher = tiny_text_lm(0), tiny_text_lm(1)
    teacher.tokenizer.add_tokens(["hello"])
    with pytest.raises(ModelError, match="another tokenizer") as refusal:
        check_vocabulary(student, teacher.tokenizer, teacher.end_ids[0], replace(SMALL, token_teacher="other"))
    assert "dpo, grpo, ppo, rba-group, rba-single, rloo, sft, tars" in str(refusal.value)


def test_another_end_of_turn_is_refused():
    student, teacher = tiny_text_lm(0), replace(tiny_text_lm(1), end_ids=[0])
    with pytest.raises(ModelError, match="ends its turns"):
        check_vocabulary(student, teacher.tokenizer, teacher.end_ids[0], replace(SMALL, token_teacher="other"))


def test_an_adapter_on_the_head_is_not_the_teachers(bench: Bench):
    head = bench.speechlm.lm.model.get_output_embeddings()
    add_lora(bench.speechlm, 4, 8, targets=["q_proj", "lm_head"], seed=1)
    assert bench.speechlm.lm.model.get_output_embeddings() is not head
    assert own_teacher(bench.speechlm, SMALL).head is head


@pytest.fixture
def served(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a served model that is the SpeechLM's own LLM."""
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))
    folder = save_tiny_lm(tmp_path / "served")
    with serving(FaultServer(scores(tiny_text_lm()))) as state:
        yield f"openai:{state.url}?tokenizer={folder}#m"


def test_a_served_teacher_says_of_drawn_tokens_what_a_local_one_does(bench: Bench, served: str):
    settings = replace(SMALL, token_teacher=served, opd=OpdSettings(form="sampled"), methods=("opd",))
    task = replace(bench.groups[0].task(), text=bench.groups[0].text)
    requests = [Request(voice, ids, "own", teacher=True) for voice, ids in ((0, (10, 11, 2)), (1, (20, 2)))]
    found = []
    for teacher in (
        load_token_teacher(bench.speechlm, settings, "Be brief."),
        own_teacher(bench.speechlm, SMALL, "Be brief."),
    ):
        engine = Engine(bench.speechlm, bench.bank, settings, teacher)
        found.append([s.logp_teacher_R for s in engine.score(load_objective("opd", settings), [task], [requests])[0]])
    for from_server, here in zip(*found):
        torch.testing.assert_close(from_server, here, atol=1e-4, rtol=1e-4)


def test_a_served_teacher_with_other_tokens_is_refused(bench: Bench, served: str):
    bench.speechlm.lm.tokenizer.add_tokens(["hello"])
    with pytest.raises(ModelError, match="another tokenizer"):
        load_token_teacher(bench.speechlm, replace(SMALL, token_teacher=served))


@pytest.mark.parametrize("method", ["kd", "gkd", "opd", "rba-opd"])
def test_methods_that_need_distributions_refuse_a_server_at_once(method: str):
    settings = AlignSettings(methods=(method,), token_teacher="openai:http://h/v1#m")
    with pytest.raises(RecipeError, match=f"{method} as it is set needs whole distributions"):
        check_served(settings)


def test_their_sampled_forms_take_one():
    sampled = {"opd": OpdSettings(form="sampled"), "rba_opd": RbaOpdSettings(dense=0.0)}
    settings = AlignSettings(methods=("opd", "rba-opd"), token_teacher="openai:http://h/v1#m", **sampled)
    check_served(settings)
    assert not any(load_objective(name, settings).needs_distributions for name in settings.methods)
    assert all(load_objective(name, AlignSettings()).needs_distributions for name in settings.methods)
