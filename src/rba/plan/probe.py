"""Short measurements on this machine that take the place of assumed rates: products, reading, speech, and updates."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rba.errors import RbaError
from rba.plan.basis import Basis
from rba.plan.device import GPU, WAYS, Device
from rba.plan.pace import reached, timed
from rba.plan.words import number

if TYPE_CHECKING:
    import torch

SAID = (
    "What should I take along for a weekend in the mountains when it may rain on both days?",
    "Tell me something that I can cook with rice, two eggs and the rest of a cabbage.",
    "Can you explain in simple words why the sky turns red in the evening?",
    "How do I write a friendly note to a neighbour whose dog barks all night long?",
)
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
        found = _attempt(lambda: reached(basis, replace(measured.applied(basis.local), count=many)), "updates", refused)
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
    seconds = [timed(block.sum) for _ in range(4)]
    return 4 * BLOCK / min(seconds[1:])


def _speech_speed(basis: Basis) -> float | None:
    """Seconds of speech a core-second of the recipe's own engine and acoustics; None for a server's."""
    from rba.speech.bank import bank_of
    from rba.speech.engine import is_served, load_engine
    from rba.speech.render import background_talkers, plan_utterance, render

    settings = basis.recipe.speech
    if is_served(settings.engine):
        return None
    engine, bank = load_engine(settings.engine), bank_of(settings)
    if settings.acoustics != "clean":
        background_talkers(engine)  # made once in a process
    samples = spent = 0.0
    for place, text in enumerate((SAID[0], *SAID)):
        speaker = bank.draw("train", 1, "probe", place)[0]
        chosen = plan_utterance(f"probe {place}", 0, speaker, settings.acoustics, basis.recipe.seed)
        start = time.process_time()
        wave = render(engine, text, speaker, chosen.seed, chosen.acoustics)
        # the first utterance loads what all need
        if place:
            samples, spent = samples + wave.size, spent + time.process_time() - start
    return samples / 16_000 / spent
