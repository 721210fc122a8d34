"""Short measurements on this machine that take the place of assumed rates: products, reading, speech, and updates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rba.errors import RbaError
from rba.plan.basis import Basis
from rba.plan.device import GPU, WAYS, Device
from rba.plan.drawing import drawing
from rba.plan.lengths import Lengths
from rba.plan.speech import is_served
from rba.plan.updates import counter_of, typical
from rba.plan.words import number

if TYPE_CHECKING:
    import torch

    from rba.lm.flops import Decoder

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
    """What was measured: FLOP/s and bytes/s of a device, seconds of speech a core-second, shares of the floor reached.

    `where` names the device, `refused` says what could not be measured and why.
    """

    flops: float
    bandwidth: float
    where: str
    speech_speed: float | None = None
    reached: dict[str, float] = field(default_factory=dict)
    refused: tuple[str, ...] = ()

    def applied(self, device: Device) -> Device:
        """The device with these rates."""
        return device.calibrated(self.flops, self.bandwidth, self.reached)

    def line(self) -> str:
        """What was measured, in words."""
        said = [f"{number(self.flops)}FLOP/s and {number(self.bandwidth)}B/s of a {self.where}"]
        said += [f"{self.speech_speed:.3g} seconds of speech a core-second"] if self.speech_speed else []
        said += [f"{share:.2g} reached {WAYS[way]}" for way, share in self.reached.items()]
        return "; ".join(said)


def probe(basis: Basis) -> Probed:
    """Measure this machine. Half a minute with a small local SpeechLM, whose weights it loads; large ones it leaves."""
    import torch

    from rba.lm.flops import matmul_rate
    from rba.lm.number_format import AUTO, number_format, pick_device

    refused: list[str] = []
    device = pick_device() if basis.local.kind == GPU else torch.device("cpu")
    if basis.local.kind == GPU and device.type == "cpu":
        refused.append("there is no GPU here to probe: its rates stay assumed")
        measured = Probed(basis.local.flops, basis.local.bandwidth, "GPU, as assumed")
    else:
        many = torch.get_num_threads() if device.type == "cpu" else 1
        rates = (matmul_rate(device, number_format(AUTO, device)) / many, _reading_rate(device) / many)
        measured = Probed(*rates, basis.local.kind)
        found = _attempt(
            lambda: _reached(basis, replace(measured.applied(basis.local), count=many)), "updates", refused
        )
        measured = replace(measured, reached=found or {})
    speed = _attempt(lambda: _speech_speed(basis), "speech", refused)
    return replace(measured, speech_speed=speed, refused=tuple(refused))


def _attempt(measure: Any, what: str, refused: list[str]) -> Any:
    try:
        return measure()
    except RbaError as error:
        refused.append(f"the probe measured no {what}: {error}")
        return None


def _reading_rate(device: torch.device) -> float:
    """Bytes/s that are read of the device's memory, the best of a few."""
    import torch

    block = torch.ones(BLOCK, device=device)
    seconds = [_timed(block.sum) for _ in range(4)]
    return 4 * BLOCK / min(seconds[1:])


def _timed(work: Callable[[], object]) -> float:
    """Seconds of some work, to its end on the accelerator."""
    import torch

    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _speech_speed(basis: Basis) -> float | None:
    """Seconds of speech a core-second of the recipe's own engine and acoustics; None for a server's."""
    from rba.speech.engine import load_engine
    from rba.speech.render import background_talkers, plan_utterance, render
    from rba.speech.worker import bank_of

    settings = basis.recipe.speech
    if is_served(settings.engine):
        return None
    engine, bank = load_engine(settings.engine), bank_of(settings)
    if settings.acoustics != "clean":
        background_talkers(engine)  # made once in a process
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
    decoder = replace(basis.hearing.decoder, rank=0, itemsize=basis.itemsize(basis.recipe.align.dtype))
    drawn = _drawn(basis, speechlm, decoder, device)
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


def _drawn(basis: Basis, speechlm: Any, decoder: Decoder, device: Device) -> float:
    """The share of the floor that drawing a few short answers reaches."""
    from rba.lm.generation import generate
    from rba.lm.sampling import Sampling

    prompts = _prompts(speechlm, ANSWERS, basis.lengths)
    limit = Sampling(1.0, 1.0, TOKENS)
    endless = replace(speechlm.lm, end_ids=[])
    spent = _timed(lambda: generate(endless, prompts, limit, range(ANSWERS), batch_size=ANSWERS))
    work = drawing(decoder, ANSWERS, basis.lengths.heard, TOKENS, ANSWERS)
    whole = replace(device, reached={"read": 1.0, "draw": 1.0})
    return min(1.0, sum(whole.seconds(p.flops, p.moved, p.way) for p in work) / device.count / spent)


def _prompts(speechlm: Any, count: int, lengths: Lengths) -> list[Any]:
    """Prompts of the planned length, of the embeddings of tokens in a row: only how long they are matters."""
    return [speechlm.lm.embed(list(range(i + 10, i + 10 + lengths.heard))) for i in range(count)]


def _trained(basis: Basis, speechlm: Any, device: Device) -> float:
    """The share of the rate of products that one instruction's loss and gradient reach by the first method."""
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

    def update() -> None:
        objective.terms(Batch(tasks, engine.score(objective, tasks, wanted))).total.backward()

    seconds = [_timed(update) for _ in range(UPDATES)]
    flops = counter_of(basis, objective).flops(tasks, wanted, drawn=False)
    return flops / min(seconds) / (device.flops * device.count)
