"""Short measurements on this machine that take the place of assumed rates: products, reading, speech, and updates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rba.errors import RbaError
from rba.plan.basis import Basis
from rba.plan.device import CORE, Device
from rba.plan.drawing import drawing
from rba.plan.lengths import Lengths
from rba.plan.speech import is_served
from rba.plan.updates import counter_of, typical

SMALL = 1e9
"""Weights of a local SpeechLM up to which the probe trains it for a moment."""
SAID = (
    "What should I take along for a weekend in the mountains when it may rain on both days?",
    "Tell me something that I can cook with rice, two eggs and the rest of a cabbage.",
    "Can you explain in simple words why the sky turns red in the evening?",
    "How do I write a friendly note to a neighbour whose dog barks all night long?",
)
UPDATES = 3
ANSWERS, TOKENS = 16, 16
BLOCK = 64 * 2**20
"""Numbers of the block that is read: 256 MiB, beyond any cache."""


@dataclass(frozen=True)
class Probed:
    """What was measured: FLOP/s and bytes/s of a core, seconds of speech a core-second, shares of the floor reached.

    `refused` says what could not be measured and why.
    """

    flops: float
    bandwidth: float
    threads: int
    speech_speed: float | None = None
    reached: dict[str, float] = field(default_factory=dict)
    refused: tuple[str, ...] = ()

    def applied(self, device: Device) -> Device:
        """The cores with these rates."""
        return device.calibrated(self.flops, self.bandwidth, self.reached)

    def lines(self) -> Iterator[str]:
        """What was measured, in words."""
        yield (
            f"probe: {self.threads} thread{'s' if self.threads > 1 else ''}, {self.flops / 1e9:.3g} GFLOP/s and "
            f"{self.bandwidth / 1e9:.3g} GB/s a core"
            + (f"; {self.speech_speed:.3g} seconds of speech a core-second" if self.speech_speed else "")
            + "".join(f"; {way}: {share:.2g} of that" for way, share in self.reached.items())
        )


def probe(basis: Basis) -> Probed:
    """Measure this machine. Half a minute with a small local SpeechLM, whose weights it loads; large ones it leaves."""
    import torch

    from rba.lm.flops import matmul_rate
    from rba.lm.number_format import AUTO, number_format

    threads, device = torch.get_num_threads(), torch.device("cpu")
    rate = matmul_rate(device, number_format(AUTO, device)) / threads
    measured = Probed(rate, _reading_rate() / threads, threads)
    refused: list[str] = []
    speed = _attempt(lambda: _speech_speed(basis), "speech", refused)
    reached = {}
    if basis.local.kind == CORE:
        reached = _attempt(lambda: _reached(basis, measured.applied(basis.local)), "updates", refused) or {}
    return replace(measured, speech_speed=speed, reached=reached, refused=tuple(refused))


def _attempt(measure: Any, what: str, refused: list[str]) -> Any:
    try:
        return measure()
    except RbaError as error:
        refused.append(f"the probe measured no {what}: {error}")
        return None


def _reading_rate() -> float:
    """Bytes/s that all threads read, the best of a few."""
    import torch

    block, seconds = torch.ones(BLOCK), []
    for _ in range(4):
        start = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - start)
    return 4 * BLOCK / min(seconds[1:])


def _speech_speed(basis: Basis) -> float | None:
    """Seconds of speech a core-second of the recipe's own engine and acoustics; None for a server's."""
    from rba.speech.engine import load_engine
    from rba.speech.render import plan_utterance, render
    from rba.speech.worker import bank_of

    settings = basis.recipe.speech
    if is_served(settings.engine):
        return None
    engine, bank = load_engine(settings.engine), bank_of(settings)
    samples = spent = 0.0
    for number, text in enumerate((SAID[0], *SAID)):
        speaker = bank.draw("train", 1, "probe", number)[0]
        chosen = plan_utterance(f"probe {number}", 0, speaker, settings.acoustics, basis.recipe.seed)
        start = time.process_time()
        wave = render(engine, text, speaker, chosen.seed, chosen.acoustics)
        # the first utterance loads what all need
        if number:
            samples, spent = samples + wave.size, spent + time.process_time() - start
    return samples / 16_000 / spent


def _reached(basis: Basis, device: Device) -> dict[str, float]:
    """Shares of the floor that updates of the recipe's first method and the drawing of answers reach.

    Answers have their planned lengths, but few are drawn, and short ones: 16 tokens show the pace of a step.
    """
    if basis.hearing.decoder is None or basis.hearing.frozen > SMALL:
        return {}
    speechlm = _opened(basis)
    if speechlm is None:
        return {}
    drawn = _drawn(basis, speechlm, device)
    return {"train": min(1.0, _trained(basis, speechlm, device)), "draw": drawn, "read": drawn}


def _opened(basis: Basis) -> Any:
    """The SpeechLM if its weights are here; a connector that is yet to be trained has none."""
    from rba.models.load import load_speechlm
    from rba.recipe import CONNECT, SHIPPED

    recipe = basis.recipe
    if recipe.model == CONNECT and recipe.connect.connector == "train":
        return None
    places = [shape.source for shape in (basis.hearing.llm, basis.hearing.ears) if shape]
    if "published" in places:
        return None  # its weights would have to be fetched
    return load_speechlm(SHIPPED if recipe.model == CONNECT else recipe.model, recipe.align.dtype)


def _drawn(basis: Basis, speechlm: Any, device: Device) -> float:
    from rba.lm.generation import generate
    from rba.lm.sampling import Sampling

    prompts = _prompts(speechlm, ANSWERS, basis.lengths)
    limit = Sampling(1.0, 1.0, TOKENS)
    endless = replace(speechlm.lm, end_ids=[])
    start = time.perf_counter()
    generate(endless, prompts, limit, range(ANSWERS), batch_size=ANSWERS)
    spent = time.perf_counter() - start
    decoder = replace(basis.hearing.decoder, rank=0, itemsize=basis.itemsize(basis.recipe.align.dtype))
    work = drawing(decoder, ANSWERS, basis.lengths.heard, TOKENS, ANSWERS)
    whole = replace(device, reached={"read": 1.0, "draw": 1.0})
    return min(1.0, sum(whole.seconds(p.flops, p.moved, p.way) for p in work) / device.count / spent)


def _prompts(speechlm: Any, count: int, lengths: Lengths) -> list[Any]:
    """Prompts of the planned length made of the embeddings of tokens in a row: how long they are is all that matters."""
    return [speechlm.lm.embed(list(range(i + 10, i + 10 + lengths.heard))) for i in range(count)]


def _trained(basis: Basis, speechlm: Any, device: Device) -> float:
    """The share of the rate of products that one instruction's loss and gradient reach, by the recipe's first method."""
    from rba.alignment.bank import PromptBank
    from rba.alignment.engine import Engine
    from rba.alignment.objectives.objective import Batch, load_objective
    from rba.alignment.token_teacher import own_teacher
    from rba.models.adapters import add_lora

    settings = basis.recipe.align
    objective = load_objective(settings.methods[0], settings)
    if settings.lora.rank:
        add_lora(speechlm, settings.lora.rank, settings.lora.alpha)
    tasks = [typical(basis, objective, 0, basis.recipe.seed)]
    wanted = [objective.requests(task) for task in tasks]
    names = tasks[0].utterances
    bank = PromptBank(speechlm, dict(zip(names, _prompts(speechlm, len(names), basis.lengths))), None)
    engine = Engine(speechlm, bank, replace(settings, token_teacher=""), own_teacher(speechlm, settings))
    seconds: list[float] = []
    for _ in range(UPDATES):
        start = time.perf_counter()
        objective.terms(Batch(tasks, engine.score(objective, tasks, wanted))).total.backward()
        seconds.append(time.perf_counter() - start)
    flops = counter_of(basis, objective).flops(tasks, wanted, drawn=False)
    return flops / min(seconds) / (device.flops * device.count)
