"""The plan of the speech stage: utterances, their hours, and the cores or the server that say them."""

from __future__ import annotations

from rba.plan.basis import TEXT, Basis
from rba.plan.item import Item, Pass, Stage

SERVED = ("openai", "openai-clone")


def plan_speech(basis: Basis, speed: float | None = None) -> Stage:
    """Every instruction in every voice; `speed` is a measured one, in seconds of speech a core-second."""
    settings, lengths = basis.recipe.speech, basis.lengths
    count = basis.recipe.synthesis.wanted * settings.voices
    seconds = count * lengths.seconds
    items = [_said(basis, count, seconds / (basis.assumed.gate_passes if settings.gate else 1.0), speed)]
    if settings.gate:
        heard = round(count / basis.assumed.gate_passes)
        items.append(transcribing(basis, "renderings checked", settings.gate_asr, heard))
    rows = count * (lengths.request + lengths.response) * TEXT
    disk = seconds * basis.assumed.flac_bytes + rows
    return Stage("speech", tuple(items), disk=disk, audio_hours=seconds / 3600, memory=basis.resident)


def known_speed(basis: Basis, engine: str) -> float | None:
    """Seconds of speech a core-second of a local engine, where it was measured."""
    return basis.assumed.hibari_speed if engine == "hibari" else None


def is_served(engine: str) -> bool:
    """Whether a server speaks."""
    return engine.partition(":")[0] in SERVED


def _said(basis: Basis, count: int, seconds: float, speed: float | None) -> Item:
    engine, what = basis.recipe.speech.engine, "utterances spoken"
    if is_served(engine):
        return Item(what, count, device_seconds=seconds / basis.assumed.served_speed, served=True)
    rate = speed or known_speed(basis, engine)
    if rate is None:
        return Item(what, count, unknown=f"the speed of {engine} is unknown, --probe measures it")
    return Item(what, count, core_seconds=seconds / rate)


def transcribing(basis: Basis, what: str, name: str, count: int) -> Item:
    """A Whisper model that writes down clips: its encoder hears the whole window, its decoder each token."""
    shape, lengths = basis.shapes.find(name, "whisper"), basis.lengths
    if shape is None:
        return Item(what, count, unknown=f"{name}: shape unknown")
    flops = shape.hearing(50 * basis.assumed.padded_seconds) + 2 * (shape.parameters - shape.tower) * lengths.request
    return Item(what, count, 0, count * lengths.request, (Pass(count * flops, 0.0, "read"),))
