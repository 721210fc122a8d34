"""Who may teach tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lm.two_tokenizers import wordpiece
from services.fault_server import FaultServer, serving
from services.scoring import scores

from rba.alignment.divergence import Divergence, generalised_jsd
from rba.alignment.engine import Engine
from rba.alignment.groups import plan
from rba.alignment.objectives.objective import Request, Scored, load_objective
from rba.alignment.objectives.settings import OpdSettings, RbaOpdSettings
from rba.alignment.settings import AlignSettings
from rba.alignment.token_teacher import (
    check_served,
    load_token_teacher,
    own_teacher,
    same_tokens,
    vocabularies,
)
from rba.errors import ModelError, RecipeError
from rba.lm import chat
from rba.lm.load import TextLM
from rba.lm.scoring import response_logits, response_states
from rba.lm.vocabulary import shared_classes
from rba.models.adapters import add_lora
from rba.testing.tiny_lm import save_tiny_lm, tiny_text_lm

from .conftest import SMALL, Bench, FixedRollouts


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


WORDS = ("hello", "apple", "no", "you")


def ask(bench: Bench, settings: AlignSettings, answers: Sequence[Sequence[int]], **wanted: Any) -> list[Scored]:
    """The answers scored as own ones to voices of the first instruction."""
    objective = load_objective("opd", settings)
    task = replace(bench.groups[0].task(), text=bench.groups[0].text)
    requests = [Request(voice, tuple(ids), "own", voice, **wanted) for voice, ids in enumerate(answers)]
    engine = Engine(bench.speechlm, bench.bank, settings, load_token_teacher(bench.speechlm, settings, "Be brief."))
    return engine.score(objective, [task], [requests])[0]


def said(bench: Bench, *texts: str) -> list[list[int]]:
    """Answers in the SpeechLM's tokens."""
    lm = bench.speechlm.lm
    return [chat.response_ids(lm.tokenizer, text, lm.end_ids[0]) for text in texts]


def plain_logits(bench: Bench, teacher: TextLM, text: str) -> tuple[list[int], torch.Tensor]:
    """What `teacher` writes for an answer, and its logits [R', V'] at every token of it, the plain way."""
    prompt = teacher.embed(chat.prompt_ids(teacher.tokenizer, bench.groups[0].text, "Be brief."))
    ids = chat.response_ids(teacher.tokenizer, text, teacher.end_ids[0])
    (logits_RV,) = response_logits(teacher.model, [prompt], [ids])
    return ids, logits_RV


@pytest.fixture
def wordy(tmp_path: Path) -> AlignSettings:
    """Settings with a teacher that writes some words as one token, where the SpeechLM spells them."""
    return replace(SMALL, token_teacher=str(save_tiny_lm(tmp_path / "wordy", seed=5, words=WORDS)))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_teacher_that_numbers_the_same_tokens_otherwise_says_the_same(
    bench: Bench, tmp_path: Path, temperature: float
):
    plain = tiny_text_lm(5)
    plain.model.save_pretrained(tmp_path / "plain")
    plain.tokenizer.save_pretrained(tmp_path / "plain")
    order = torch.cat([torch.arange(3), 3 + torch.randperm(256, generator=torch.Generator().manual_seed(0))])
    other = tiny_text_lm(5)
    with torch.no_grad():
        other.model.get_input_embeddings().weight[order] = plain.model.get_input_embeddings().weight.clone()
    other.model.save_pretrained(tmp_path / "renumbered")
    tree = json.loads(other.tokenizer.backend_tokenizer.to_str())
    tree["model"]["vocab"] = {token: int(order[i]) for token, i in tree["model"]["vocab"].items()}
    other.tokenizer.save_pretrained(tmp_path / "renumbered")
    (tmp_path / "renumbered" / "tokenizer.json").write_text(json.dumps(tree))
    answers, found = said(bench, "an apple?", "\u00e9 no"), []
    for name in ("plain", "renumbered"):
        settings = replace(SMALL, token_teacher=str(tmp_path / name))
        found.append(ask(bench, settings, answers, divergence=Divergence(0.5, temperature), teacher=True))
    for here, there in zip(*found):
        # what tells the two tokens without a text apart is lost: they are one class, which weighs other when heated
        lost_R = here.divergence_R - there.divergence_R
        assert float(lost_R.abs().max()) < 0.02 * float(here.divergence_R.min())
        assert temperature > 1 or float(lost_R.min()) > -1e-6
        torch.testing.assert_close(here.logp_teacher_R, there.logp_teacher_R, atol=1e-5, rtol=1e-4)


def test_a_teacher_with_other_tokens_reads_the_text_in_its_own(bench: Bench, wordy: AlignSettings):
    text = "no, hello?"
    (found,) = ask(bench, wordy, said(bench, text), teacher=True)
    ids, logits_RV = plain_logits(bench, tiny_text_lm(5, words=WORDS), text)
    logp_R = logits_RV.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
    assert len(ids) == 6  # no | , | space | hello | ? | end
    torch.testing.assert_close(found.logp_teacher_R.sum(), logp_R.sum(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found.logp_teacher_R[4:9], (logp_R[3] / 5).expand(5), atol=1e-5, rtol=1e-4)


def test_its_distributions_are_compared_where_both_stand_at_a_break(bench: Bench, wordy: AlignSettings):
    text = "no, hello?"
    teacher = tiny_text_lm(5, words=WORDS)
    (answer,) = said(bench, text)
    (found,) = ask(bench, wordy, [answer], divergence=Divergence(1.0))
    _, theirs_RV = plain_logits(bench, teacher, text)
    lm = bench.speechlm.lm
    (own_RV,) = response_logits(lm.model, [bench.bank.initial([bench.groups[0].utterances[0]])[0]], [answer])
    classes = shared_classes(*vocabularies(lm, teacher.tokenizer, teacher.end_ids, wordy))
    breaks = [0, 2, 3, 4, 9, 10]
    plain = generalised_jsd(own_RV[breaks], theirs_RV, Divergence(1.0), classes)
    torch.testing.assert_close(found.divergence_R[breaks], plain, atol=1e-4, rtol=1e-4)
    assert found.divergence_R.sum() == pytest.approx(float(plain.sum().detach()), rel=1e-4)


@pytest.mark.parametrize("method", ["kd", "gkd", "opd", "rba-opd"])
def test_a_teacher_with_other_tokens_is_learnt_from(benches: Callable[..., Bench], wordy: AlignSettings, method: str):
    bench = benches(2, 3)
    samples = bench.samples()
    typed = {"opd": OpdSettings(text_weight=0.0), "rba_opd": RbaOpdSettings(preference=0.0, dense=1.0)}
    settings = replace(wordy, steps=20, lr=2e-2, **typed)
    steps = plan(bench.groups, 2, 20, 7)
    teacher = load_token_teacher(bench.speechlm, settings)
    rollouts = None if method == "kd" else FixedRollouts(steps, samples)
    bench.trainer(method, settings, teacher=teacher, rollouts=rollouts).run()
    losses = [record["loss"] for record in bench.records]
    assert losses[-1] < 0.8 * losses[0]


def test_what_it_cannot_write_counts_for_nothing(bench: Bench, wordy: AlignSettings):
    half = bench.speechlm.lm.tokenizer("\u00e9", add_special_tokens=False)["input_ids"][:1]
    answers = [half, [*half, *said(bench, "hello")[0]], said(bench, "hello")[0]]
    found = ask(bench, wordy, answers, divergence=Divergence(1.0), teacher=True)
    for scored, unsaid in zip(found, (1, 7, 0)):
        torch.testing.assert_close(scored.logp_teacher_R[:unsaid], scored.logp_R[:unsaid].detach())
        assert not scored.divergence_R[:unsaid].any() and scored.divergence_R[unsaid:].any() == (
            unsaid < len(scored.logp_R)
        )
    (alone,) = ask(bench, wordy, answers[-1:], teacher=True)
    torch.testing.assert_close(found[-1].logp_teacher_R, alone.logp_teacher_R, atol=1e-5, rtol=1e-4)
    assert ask(bench, wordy, [half], divergence=Divergence(1.0))[0].divergence_R.tolist() == [0.0]


def test_a_head_that_is_padded_or_trained_takes_part(bench: Bench, wordy: AlignSettings):
    answers = said(bench, "no, hello?")
    (plain,) = ask(bench, wordy, answers, divergence=Divergence(0.5))
    lm = bench.speechlm.lm
    lm.model.resize_token_embeddings(len(lm.tokenizer) + 5, mean_resizing=False)
    with torch.no_grad():  # rows that no text has, all but impossible
        lm.model.get_output_embeddings().weight[-5:] = 0
    lm.model.get_output_embeddings().weight.requires_grad_(True)
    (padded,) = ask(bench, wordy, answers, divergence=Divergence(0.5))
    assert (padded.divergence_R > 0).sum() == (plain.divergence_R > 0).sum()
    torch.testing.assert_close(padded.divergence_R, plain.divergence_R, atol=0.05, rtol=0.2)
    padded.divergence_R.sum().backward()
    assert lm.model.get_output_embeddings().weight.grad.abs().sum() > 0


def test_tokens_that_are_no_pieces_of_text_are_refused_with_the_methods_that_still_work():
    with pytest.raises(ModelError, match="cannot be compared as pieces of text") as refusal:
        vocabularies(tiny_text_lm(0), wordpiece(), [0], replace(SMALL, token_teacher="other"))
    assert "dpo, grpo, ppo, rba-group, rba-single, rloo, sft, tars" in str(refusal.value)


def test_another_end_of_turn_makes_them_other_tokens():
    student = tiny_text_lm(0)
    assert same_tokens(student, tiny_text_lm(1).tokenizer, 2)
    assert not same_tokens(student, tiny_text_lm(1).tokenizer, 0)
    assert not same_tokens(student, tiny_text_lm(1, words=WORDS).tokenizer, 2)


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


def test_a_served_teacher_with_other_tokens_says_what_a_local_one_does(
    bench: Bench, wordy: AlignSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))
    with serving(FaultServer(scores(tiny_text_lm(5, words=WORDS)))) as state:
        name = f"openai:{state.url}?tokenizer={wordy.token_teacher}#m"
        sampled = replace(wordy, token_teacher=name, opd=OpdSettings(form="sampled"), methods=("opd",))
        answers = said(bench, "hello", "an apple?")
        found = [ask(bench, settings, answers, teacher=True) for settings in (sampled, wordy)]
    for from_server, here in zip(*found):
        torch.testing.assert_close(from_server.logp_teacher_R, here.logp_teacher_R, atol=1e-4, rtol=1e-4)


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
