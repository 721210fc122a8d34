"""How near a small SpeechLM comes to the floor of its work on this machine, in updates and in drawing answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rba.alignment import variants
from rba.lm.flops import Decoder
from rba.plan.basis import Basis
from rba.plan.device import Device
from rba.plan.drawing import drawing
from rba.plan.lengths import Lengths
from rba.plan.updates import counter_of, typical

SMALL = 1e9
"""Weights of a local SpeechLM up to which the probe trains it for a moment."""
UPDATES = 3
ANSWERS, TOKENS = 16, {"cpu": 16, "cuda": 64}


def timed(work: Callable[[], object]) -> float:
    """Seconds of some work, to its end on the accelerator."""
    import torch

    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def reached(basis: Basis, device: Device) -> dict[str, float]:
    """Shares of the floor that updates of what the recipe trains first and the drawing of answers reach.

    Answers have their planned lengths, but few are drawn, and short ones: their tokens show the pace of a step. Where
    nothing is trained there are no updates.
    """
    if basis.hearing.decoder is None or basis.hearing.frozen > SMALL:
        return {}
    speechlm = _opened(basis)
    if speechlm is None:
        return {}
    decoder = replace(basis.hearing.decoder, rank=0, itemsize=basis.itemsize(basis.recipe.align.dtype))
    pace = drawn(basis, speechlm, decoder, device)
    found = {"draw": pace, "read": pace}
    if names := variants.trained(basis.recipe.align):
        found["train"] = min(1.0, trained(basis, speechlm, device, names[0]))
    return found


def _opened(basis: Basis) -> Any:
    """The SpeechLM if its weights are here; a connector that is yet to be trained has none."""
    from rba.models import SHIPPED
    from rba.models.load import load_speechlm
    from rba.recipe import CONNECT

    recipe = basis.recipe
    if recipe.model == CONNECT and recipe.connect.connector == "train":
        return None
    places = [shape.source for shape in (basis.hearing.llm, basis.hearing.ears) if shape]
    if "published" in places:
        return None  # its weights would have to be fetched
    return load_speechlm(SHIPPED if recipe.model == CONNECT else recipe.model, recipe.align.dtype)


def drawn(basis: Basis, speechlm: Any, decoder: Decoder, device: Device) -> float:
    """The share of the floor that drawing a few short answers reaches."""
    from rba.lm.generation import generate
    from rba.lm.sampling import Sampling

    prompts = _prompts(speechlm, ANSWERS, basis.lengths)
    tokens = TOKENS.get(speechlm.lm.device.type, TOKENS["cpu"])
    limit = Sampling(1.0, 1.0, tokens)
    endless = replace(speechlm.lm, end_ids=[])

    def draw() -> object:
        return generate(endless, prompts, limit, range(ANSWERS), batch_size=ANSWERS)

    if speechlm.lm.device.type == "cuda":
        draw()  # kernels are loaded when they are first used
    spent = timed(draw)
    work = drawing(decoder, ANSWERS, basis.lengths.heard, tokens, ANSWERS)
    whole = replace(device, reached={"read": 1.0, "draw": 1.0})
    return min(1.0, sum(whole.seconds(p.flops, p.moved, p.way) for p in work) / device.count / spent)


def _prompts(speechlm: Any, count: int, lengths: Lengths) -> list[Any]:
    """Prompts of the planned length, of the embeddings of tokens in a row: only how long they are matters."""
    return [speechlm.lm.embed(list(range(i + 10, i + 10 + lengths.heard))) for i in range(count)]


def trained(basis: Basis, speechlm: Any, device: Device, name: str) -> float:
    """The share of the rate of products that one instruction's loss and gradient reach in the training of `name`."""
    from rba.alignment.adapt import adapt
    from rba.alignment.bank import PromptBank
    from rba.alignment.engine import Engine
    from rba.alignment.objectives.objective import Batch, load_objective
    from rba.alignment.token_teacher import own_teacher

    method, settings = variants.resolve(basis.recipe.align, name)
    basis, objective = basis.under(settings), load_objective(method, settings)
    adapt(speechlm, settings, basis.recipe.seed)
    tasks = [typical(basis, objective, 0, basis.recipe.seed)]
    wanted = [objective.requests(task) for task in tasks]
    objective.own_parameters(speechlm.lm.model.config.get_text_config().hidden_size, speechlm.lm.device)
    names = tasks[0].utterances
    bank = PromptBank(speechlm, dict(zip(names, _prompts(speechlm, len(names), basis.lengths))), None)
    engine = Engine(speechlm, bank, replace(settings, token_teacher=""), own_teacher(speechlm, settings))

    def update() -> None:
        objective.terms(Batch(tasks, engine.score(objective, tasks, wanted))).total.backward()

    seconds = [timed(update) for _ in range(UPDATES)]
    flops = counter_of(basis, objective).flops(tasks, wanted, drawn=False)
    return flops / min(seconds) / (device.flops * device.count)
