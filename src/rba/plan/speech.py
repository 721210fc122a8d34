"""The plan of the speech stage: utterances, their hours, and the cores or the server that say them."""

from __future__ import annotations

from rba.plan.basis import TEXT, Basis
from rba.plan.item import Item, Pass, Stage
from rba.speech.engine import is_served


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


def _said(basis: Basis, count: int, seconds: float, speed: float | None) -> Item:
    engine, what = basis.recipe.speech.engine, "utterances spoken"
    if is_served(engine):
        return Item(what, count, device_seconds=seconds / basis.assumed.served_speed, served=True)
    rate = speed or known_speed(basis, engine)
    if rate is None:
        return Item(what, count, unknown=f"the speed of {engine} is unknown, --probe measures it")
    return Item(what, count, core_seconds=seconds / rate)


def transcribing(basis: Basis, what: str, name: str, count: int) -> Item:
    """A recogniser that writes down clips: Whisper's encoder hears its whole window, Moonshine's the clip alone.

    The decoder is asked for each token.
    """
    shape, lengths = basis.shapes.find(name, "recogniser"), basis.lengths
    if shape is None:
        return basis.work(what, name, count, 0, lengths.request, None)
    seconds = lengths.seconds if shape.family == "moonshine" else basis.assumed.padded_seconds
    flops = shape.hearing(shape.frame_rate * seconds) + 2 * (shape.parameters - shape.tower) * lengths.request
    return basis.work(what, name, count, 0, lengths.request, (Pass(count * flops, 0.0, "read"),))
