"""The checks of `rba.models.conformance`, in the order in which they run."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from rba.alignment.checks import LEAST_EFFECT
from rba.alignment.policy import Policy, Query
from rba.alignment.settings import AlignSettings
from rba.errors import ModelError
from rba.lm import chat
from rba.lm.adapted import is_adapter
from rba.lm.attention import short_attention
from rba.lm.generation import generate
from rba.lm.sampling import Sampling
from rba.lm.scorer import keeps_everything, score
from rba.lm.scoring import response_logits, token_logprobs
from rba.models import turns
from rba.models.adapters import adapter_parameters, add_lora, has_lora, train_on
from rba.models.audio_lm import OF_TEXT
from rba.models.clips import ONE
from rba.models.conformance import NO_OTHER, PLAIN, Check, Failed, Subject
from rba.models.speechlm import SpeechLM

QUESTION = "What colour is the sky?"
ANSWERS = ("It is blue.", "No", "Three red apples, and a pear")
TOKENS = 12
BUDGET = 4096
LEAST_GRADIENT = 1e-12


@torch.no_grad()
def hears(subject: Subject) -> str:
    """Another clip, and silence, must give the same answer other log-probs."""
    speechlm, (first, second) = subject.speechlm, subject.waves[:2]
    spoken, other, silent = _prompts(speechlm, [first, second, np.zeros_like(first)])
    effects = [_apart(_logp(speechlm, [spoken]), _logp(speechlm, [p]), mean=True) for p in (other, silent)]
    if not min(effects) >= LEAST_EFFECT:
        raise Failed(f"the model is deaf: {effects[0]:.1e} nats a token for another clip, {effects[1]:.1e} for silence")
    return f"{effects[0]:.2g} nats a token for another clip, {effects[1]:.2g} for silence"


@torch.no_grad()
def own_forward(subject: Subject) -> str:
    """What rba computes in two steps must be what the model's own forward pass computes in one.

    A key that the forward pass swallows unread, such as a mask of another name, would be missing on both sides.
    """
    speechlm: Any = subject.speechlm
    if not hasattr(speechlm, "inputs"):
        return f"{NO_OTHER}: there is no other forward pass"
    core = speechlm.core
    unread = sorted({*speechlm.inputs(subject.waves[0])} - {*OF_TEXT} - {*inspect.signature(core.forward).parameters})
    if unread:
        raise Failed(f"the model's forward pass does not take what its processor makes: {', '.join(unread)}")
    worst = 0.0
    for wave, prompt in zip(subject.waves, _prompts(speechlm, subject.waves)):
        worst = max(worst, _apart([_own_logp(speechlm, wave)], _logp(speechlm, [prompt])))
    return _close(worst, subject, "from its own forward pass")


@torch.no_grad()
def reads(subject: Subject) -> str:
    """A typed request must be what the LLM reads when its own chat template writes it."""
    lm = subject.speechlm.lm
    (prompt,) = subject.speechlm.text_prompts([QUESTION])
    text = turns.render(lm.tokenizer, QUESTION, None)
    bos = turns.starts_whole(lm.tokenizer, text)
    ids = lm.tokenizer(text, add_special_tokens=not bos)["input_ids"]
    if len(ids) != len(prompt):
        raise Failed(f"the template has {len(ids)} tokens, the prompt {len(prompt)} rows")
    answer = _answers(subject.speechlm)[0]
    whole = torch.tensor([[*ids, *answer]], device=lm.device)
    with short_attention(lm.device):  # in half precision other kernels would round otherwise
        logits = lm.model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[0, len(ids) - 1 : -1]
    plain = logits.float().log_softmax(-1)[torch.arange(len(answer)), whole[0, len(ids) :]]
    return _close(_apart([plain], score(lm, [prompt], [answer], BUDGET)), subject, "from the LLM on token ids")


@torch.no_grad()
def shares(subject: Subject) -> str:
    """Scoring that computes shared prompts once must equal one whole pass for each answer."""
    speechlm = subject.speechlm
    answers = _answers(speechlm)
    prompts = [*_prompts(speechlm, subject.waves[:2]), *speechlm.text_prompts([QUESTION])]
    pairs = [(prompt, answer) for prompt in prompts for answer in answers]
    together = score(speechlm.lm, [p for p, _ in pairs], [a for _, a in pairs], BUDGET)
    plain = [token_logprobs(speechlm.lm.model, [p], [a])[0] for p, a in pairs]
    seen = _close(_apart(together, plain), subject, "from a whole pass each")
    if not keeps_everything(speechlm.lm):
        return f"{PLAIN}: each answer takes a whole pass, since layers have windows or states; {seen}"
    return seen


@torch.no_grad()
def batches(subject: Subject) -> str:
    """A clip, and an answer to it, must be the same alone and beside longer ones."""
    speechlm, short = subject.speechlm, min(subject.waves, key=len)
    long = np.concatenate([max(subject.waves, key=len), short])
    both, (alone,) = speechlm.encode([short, long]), speechlm.encode([short])
    if both[0].shape != alone.shape:
        raise Failed(f"a clip has {len(alone)} features alone and {len(both[0])} beside a longer one")
    apart = float((both[0].float() - alone.float()).abs().max() / alone.float().abs().max())
    if not apart <= 0.01:
        raise Failed(f"features of a clip differ by {apart:.1%} beside a longer one")
    answers = _answers(speechlm)
    together = score(speechlm.lm, speechlm.prompts([alone, both[1]]), [answers[1], answers[2]], BUDGET)
    single = score(speechlm.lm, speechlm.prompts([alone]), [answers[1]], BUDGET)
    padded = token_logprobs(speechlm.lm.model, speechlm.prompts([alone, both[1]]), [answers[1], answers[2]])
    return _close(max(_apart(together[:1], single), _apart(padded[:1], single)), subject, "beside a longer clip")


@torch.no_grad()
def clips(subject: Subject) -> str:
    """A prompt of two clips must hear both, each in its place, whatever prompt is beside it; or be refused as such.

    Its own forward pass, if it takes two, must hear them alike where no clip has pads there: both are cut to one
    length for it.
    """
    speechlm: Any = subject.speechlm
    waves = subject.waves[:2]
    first, second, silent = speechlm.encode([*waves, np.zeros_like(waves[0])])
    others = {
        "the other order": [second, first],
        "a silent first": [silent, second],
        "a silent second": [first, silent],
        "the first alone": first,
    }
    try:
        prompts = speechlm.prompts([[first, second], *others.values()])
    except ModelError as refusal:
        if not refusal.what.startswith(ONE):
            raise
        return refusal.what
    both, *found = _logp(speechlm, prompts)
    for name, other in zip(others, found):
        if not (effect := _apart([both], [other])) >= LEAST_EFFECT:
            raise Failed(f"of two clips one is not heard in its place: {effect:.1e} nats for {name}")
    rows, answers = [prompts[0], prompts[-1]], _answers(speechlm)[:2]
    alone = [score(speechlm.lm, [row], [answer], BUDGET)[0] for row, answer in zip(rows, answers)]
    beside = score(speechlm.lm, rows, answers, BUDGET), token_logprobs(speechlm.lm.model, rows, answers)
    worst = max(_apart(together, alone) for together in beside)
    if hasattr(speechlm, "inputs"):
        even = [wave[: min(map(len, waves))] for wave in waves]
        try:
            own = _own_logp(speechlm, even)
        except ValueError as refusal:  # older releases of transformers have a Granite Speech that counts clips as texts
            return f"{_close(worst, subject, 'from the same prompt alone')}; its own forward pass takes one: {refusal}"
        worst = max(worst, _apart([own], _logp(speechlm, speechlm.prompts([speechlm.encode(even)]))))
    return _close(worst, subject, "from the same prompt alone, or from its own forward pass")


@torch.no_grad()
def generates(subject: Subject) -> str:
    """Each token of greedy answers, written in a batch, must be the likeliest where answers are scored."""
    speechlm = subject.speechlm
    prompts = _prompts(speechlm, subject.waves[:2])
    greedy = Sampling(temperature=0.0, max_new_tokens=TOKENS)
    written = [row[0] for row in generate(speechlm.lm, prompts, greedy, [0, 1])]
    worst = 0.0
    for prompt, answer in zip(prompts, written):
        (logits_RV,) = response_logits(speechlm.lm.model, [prompt], [answer.ids])
        logp_RV = logits_RV.float().log_softmax(-1)
        chosen_R = logp_RV[torch.arange(len(answer.ids)), torch.tensor(answer.ids, device=logp_RV.device)]
        kept = torch.tensor(answer.logprobs, device=logp_RV.device)
        worst = max(worst, _apart([logp_RV.max(-1).values], [chosen_R]), _apart([kept], [chosen_R]))
    return _close(worst, subject, "from the likeliest token of scoring")


@torch.no_grad()
def stops(subject: Subject) -> str:
    """Generation must stop at an end token and at the limit of tokens, whichever comes first."""
    speechlm = subject.speechlm
    prompts, greedy = _prompts(speechlm, subject.waves[:1]), Sampling(temperature=0.0, max_new_tokens=TOKENS)
    endless = generate(replace(speechlm.lm, end_ids=[-1]), prompts, greedy, [0])[0][0]
    if len(endless.ids) != TOKENS or endless.finished:
        raise Failed(f"{len(endless.ids)} tokens were written under a limit of {TOKENS}")
    end = endless.ids[TOKENS // 2]
    first = endless.ids.index(end) + 1
    ended = generate(replace(speechlm.lm, end_ids=[end]), prompts, greedy, [0])[0][0]
    if len(ended.ids) != first or not ended.finished:
        raise Failed(f"an end token was written as token {first}, and {len(ended.ids)} were written")
    return f"at the end token, and at {TOKENS} tokens without one"


def ends(subject: Subject) -> str:
    """Answers must be taught to end with the token that the chat template puts after an answer."""
    lm = subject.speechlm.lm
    own = turns.turn_end(lm.tokenizer)
    if not lm.end_ids:
        raise Failed("the model names no token that ends a turn")
    taught = chat.response_ids(lm.tokenizer, ANSWERS[0], lm.end_ids[0])[-1]
    name = lm.tokenizer.convert_ids_to_tokens(taught)
    if own is None:
        raise Failed(f"the chat template puts no special token after an answer; {name} would be taught")
    if own not in lm.end_ids:
        raise Failed(f"the template ends a turn with {lm.tokenizer.convert_ids_to_tokens(own)}, which is no end token")
    if taught != own:
        raise Failed(f"{name} is taught, the template ends a turn with {lm.tokenizer.convert_ids_to_tokens(own)}")
    return f"with {name}"


def _adapt(speechlm: SpeechLM) -> None:
    """Put a small adapter on the LLM, or train the one that it has."""
    if has_lora(speechlm.lm):
        train_on(speechlm)
    else:
        add_lora(speechlm, 4, 8, seed=1)


def trains(subject: Subject) -> str:
    """All of the adapter, and the connector, must get gradients from spoken answers; the encoder must get none."""
    speechlm = subject.speechlm
    _adapt(speechlm)
    connector = list(speechlm.connector_parameters())
    groups = {"adapter": adapter_parameters(speechlm), "connector": connector}
    for name, group in groups.items():
        if not group:
            raise Failed(f"the {name} has no weights")
    for parameter in connector:
        parameter.requires_grad_(True)
    number_format: Any = subject.dtype
    policy = Policy(speechlm, AlignSettings(train_connector=True, dtype=number_format))
    features, answers = speechlm.encode(subject.waves[:2]), _answers(speechlm)[:2]
    if any(feature.requires_grad for feature in features):
        raise Failed("the encoder is not frozen: its features carry a gradient")
    found = policy(Query(features, [], [0, 1], answers, features=True)).logp
    torch.cat([row[-1:] for row in found]).sum().backward()  # of the token that ends the turn
    idle = [n for n, p in speechlm.lm.model.named_parameters() if is_adapter(n) and p.grad is None]
    if idle:
        raise Failed(f"the adapter has weights that no answer passes: {idle[0]}")
    seen = []
    for name, group in groups.items():
        norm = sum(float(p.grad.float().square().sum()) for p in group if p.grad is not None) ** 0.5
        if not LEAST_GRADIENT < norm < float("inf"):
            raise Failed(f"the gradient of the {name} is {norm}")
        seen.append(f"{name} {sum(p.numel() for p in group):,} weights")
    for parameter in [*connector, *groups["adapter"]]:
        parameter.grad = None
    for parameter in connector:
        parameter.requires_grad_(False)
    return ", ".join(seen)


@torch.no_grad()
def reloads(subject: Subject) -> str:
    """A changed adapter and a changed connector must come back from a saved folder."""
    speechlm = subject.speechlm
    _adapt(speechlm)
    plain = _logp(speechlm, _prompts(speechlm, subject.waves[:2]))
    generator = torch.Generator().manual_seed(0)
    for parameter in adapter_parameters(speechlm):
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator).to(parameter))
    for parameter in speechlm.connector_parameters():
        parameter.mul_(0.5)  # exact in half precision as well
    before = _logp(speechlm, _prompts(speechlm, subject.waves[:2]))
    if not _apart(before, plain) > 2 * subject.tolerance:
        raise Failed("changed weights give the same log-probs")
    with TemporaryDirectory() as place:
        speechlm.save(Path(place))
        again = subject.reopen(Path(place), subject.dtype)
        after = _logp(again, _prompts(again, subject.waves[:2]))
    return _close(_apart(before, after), subject, "from the model before it was saved")


CHECKS = (
    Check("hears", "the audio matters", hears),
    Check("own forward", "log-probs are those of the model's own forward pass", own_forward),
    Check("reads", "typed requests are read as the LLM alone reads them", reads),
    Check("shares", "sharing prompts changes no log-prob", shares),
    Check("batches", "a clip and its answers do not depend on what is beside them", batches),
    Check("clips", "a prompt of two clips hears both, in their order", clips),
    Check("generates", "generation is the argmax of scoring", generates),
    Check("stops", "generation stops", stops),
    Check("ends", "the end of a turn is taught", ends),
    Check("trains", "adapter and connector are trained, and the encoder is not", trains),
    Check("reloads", "what is saved opens as the same model", reloads),
)


def _prompts(speechlm: SpeechLM, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
    return speechlm.prompts(speechlm.encode(waves))


def _answers(speechlm: SpeechLM) -> list[list[int]]:
    """The probing answers as they would be taught, end token included."""
    end = speechlm.lm.end_ids[0] if speechlm.lm.end_ids else None
    return [chat.response_ids(speechlm.lm.tokenizer, text, end) for text in ANSWERS]


def _logp(speechlm: SpeechLM, prompts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Log-probs of the first probing answer under each prompt."""
    return score(speechlm.lm, prompts, _answers(speechlm)[:1] * len(prompts), BUDGET)


def _own_logp(speechlm: Any, heard: np.ndarray | Sequence[np.ndarray]) -> torch.Tensor:
    """Log-probs of the first probing answer in the model's own forward pass, after a clip or several."""
    answer, inputs = _answers(speechlm)[0], speechlm.inputs(heard)
    tail = torch.tensor([answer], device=speechlm.lm.device)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], tail], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with short_attention(speechlm.lm.device):  # as in `reads`
        logits = speechlm.core(**inputs).logits[0, -len(answer) - 1 : -1].float().log_softmax(-1)
    return logits[torch.arange(len(answer)), tail[0]]


def _apart(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor], mean: bool = False) -> float:
    """The largest (or mean) absolute difference of log-probs; not a number where one of them is none."""
    gaps = (torch.cat(list(one)).float() - torch.cat(list(other)).float()).abs()
    return float(gaps.mean() if mean else gaps.max())


def _close(apart: float, subject: Subject, whence: str) -> str:
    if not apart <= subject.tolerance:
        raise Failed(f"log-probs differ by up to {apart:.2g} nats {whence}")
    return f"at most {apart:.1e} nats {whence}"
