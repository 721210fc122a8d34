"""What objectives ask for is measured under the right prompt, whatever else is in the batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rba.alignment.divergence import Divergence, generalised_jsd
from rba.alignment.engine import Engine
from rba.alignment.objectives.objective import TYPED, Request, Task, load_objective
from rba.alignment.token_teacher import own_teacher
from rba.lm.scorer import answer_states
from rba.lm.scoring import response_logits, response_states, token_logprobs
from rba.models.adapters import adapter_parameters, add_lora, reference

from .conftest import SMALL, Bench

ANSWER, SHORT = (10, 11, 12, 2), (20,)


@pytest.fixture
def adapted(bench: Bench) -> Bench:
    """The bench with an adapter that does something."""
    add_lora(bench.speechlm, 4, 8, seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapter_parameters(bench.speechlm):
            parameter.normal_(0, 0.2)
    return bench


def measure(bench: Bench, *requests: Request):
    task = replace(bench.groups[0].task(), text=bench.groups[0].text)
    engine = Engine(bench.speechlm, bench.bank, SMALL, own_teacher(bench.speechlm, SMALL))
    return task, engine.score(load_objective("sft", SMALL), [task], [requests])[0]


def plain_logits(bench: Bench, prompt: torch.Tensor, ids: tuple[int, ...]) -> torch.Tensor:
    return response_logits(bench.speechlm.lm.model, [prompt], [list(ids)])[0]


def prompts(bench: Bench, task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    """The speech of voice 1, and the typed request."""
    return bench.bank.initial([task.utterances[1]])[0], bench.speechlm.text_prompts([task.text])[0]


def test_speech_and_typed_requests_are_told_apart(adapted: Bench):
    task, (heard, read) = measure(adapted, Request(1, ANSWER, "own"), Request(TYPED, ANSWER, "own"))
    for scored, prompt in zip((heard, read), prompts(adapted, task)):
        plain = token_logprobs(adapted.speechlm.lm.model, [prompt], [list(ANSWER)])[0]
        torch.testing.assert_close(scored.logp_R, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_teacher_reads_the_text_without_adapters_while_the_policy_hears(adapted: Bench, beta: float):
    kind = Divergence(beta, 2.0, 0.5)
    asked = [Request(1, ANSWER, "own", divergence=kind, teacher=True), Request(0, SHORT, "own")]
    task, (scored, other) = measure(adapted, *asked)
    speech, text = prompts(adapted, task)
    own = plain_logits(adapted, speech, ANSWER)
    with reference(adapted.speechlm):
        taught = plain_logits(adapted, text, ANSWER)
    plain = generalised_jsd(own, taught / 0.5, Divergence(beta, 2.0))
    torch.testing.assert_close(scored.divergence_R, plain, atol=1e-5, rtol=1e-4)
    said = taught.log_softmax(-1).gather(1, torch.tensor(ANSWER)[:, None])[:, 0]
    torch.testing.assert_close(scored.logp_teacher_R, said, atol=1e-5, rtol=0)
    assert not scored.logp_teacher_R.requires_grad
    assert other.divergence_R is None
    assert other.logp_teacher_R is None
    grads = []
    for value in (scored.divergence_R, plain):
        adapted.speechlm.lm.model.zero_grad()
        value.sum().backward()
        grads.append(torch.cat([p.grad.flatten() for p in adapter_parameters(adapted.speechlm)]))
    torch.testing.assert_close(grads[0], grads[1], atol=1e-5, rtol=1e-5)


def test_before_the_first_update_only_the_speech_sets_policy_and_teacher_apart(bench: Bench):
    _, (heard, read) = measure(
        bench,
        Request(0, ANSWER, "own", divergence=Divergence(1.0)),
        Request(TYPED, ANSWER, "own", divergence=Divergence(1.0)),
    )
    assert float(heard.divergence_R.sum()) > 1e-3
    assert float(read.divergence_R.abs().max()) < 1e-5


@pytest.mark.parametrize("ids", [ANSWER, SHORT])
def test_states_and_layers_equal_the_plain_path(adapted: Bench, ids: tuple[int, ...]):
    asked = [Request(1, ids, "own", states=True, layers=True), Request(0, ANSWER, "own")]
    task, (scored, _) = measure(adapted, *asked)
    speech, _ = prompts(adapted, task)
    (layers,) = response_states(adapted.speechlm.lm.model, [speech], [list(ids)], layers=True)
    torch.testing.assert_close(scored.states_RD, layers[-1], atol=1e-5, rtol=1e-4)
    means = torch.stack([layer.mean(0) for layer in layers])
    torch.testing.assert_close(scored.layers_LD, means.detach(), atol=1e-5, rtol=1e-4)
    assert scored.states_RD.requires_grad
    assert not scored.layers_LD.requires_grad


def test_layers_are_the_same_without_shared_prefixes(adapted: Bench, monkeypatch: pytest.MonkeyPatch):
    speech = adapted.bank.initial(adapted.groups[0].utterances)
    answers = [ANSWER, SHORT, ANSWER]
    shared = answer_states(adapted.speechlm.lm, speech, answers, 64, layers=True)
    monkeypatch.setattr("rba.lm.scorer.keeps_everything", lambda lm: False)
    for a, b in zip(shared, answer_states(adapted.speechlm.lm, speech, answers, 64, layers=True)):
        torch.testing.assert_close(a.last_RD, b.last_RD, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(a.layers_LD, b.layers_LD, atol=1e-5, rtol=1e-4)


def test_a_request_that_is_not_trained_keeps_no_gradient(adapted: Bench):
    _, (frozen, trained) = measure(adapted, Request(1, ANSWER, "own", train=False), Request(1, ANSWER, "own"))
    assert not frozen.logp_R.requires_grad
    assert trained.logp_R.requires_grad
    torch.testing.assert_close(frozen.logp_R, trained.logp_R.detach(), atol=1e-5, rtol=0)


def test_a_prompt_counts_once(bench: Bench):
    task = bench.groups[0].task()
    engine = Engine(bench.speechlm, bench.bank, SMALL, own_teacher(bench.speechlm, SMALL))
    once = engine.cost(task, [Request(0, ANSWER, "own")])
    assert engine.cost(task, [Request(0, ANSWER, "own"), Request(0, SHORT, "own")]) == once + 1
    typed = len(bench.speechlm.text_prompts([task.text])[0])
    assert engine.cost(task, [Request(0, ANSWER, "own"), Request(TYPED, SHORT, "own")]) == once + typed + 1
