"""A plan for people: a table of stages with their items, then memory, disk, assumptions and what is not known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields

from rba.meter import duration
from rba.plan.assumptions import Assumptions
from rba.plan.basis import Basis
from rba.plan.device import GPU, WAYS, Device
from rba.plan.item import Item, Stage
from rba.plan.plan import Plan
from rba.plan.words import number, size

_ROW = "{:<48} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}"


def lines(plan: Plan) -> Iterator[str]:
    """The plan, line by line."""
    basis = plan.basis
    local, server = basis.local, basis.server
    yield f"plan of {basis.recipe.name}: nothing is loaded and nothing is run" + (
        " but the probe" if plan.probed else ""
    )
    yield f"local models: {_device(local)}"
    if any(item.served for stage in plan.stages for item in stage.items):
        yield f"servers: {_device(server)}"
    if plan.probed:
        yield f"probe: {plan.probed.line()}"
    yield ""
    yield from _stages(plan)
    yield ""
    yield from _memory(plan)
    yield ""
    yield "models: " + "; ".join(_sources(plan))
    yield "assumed (--assume NAME=VALUE changes one; src/rba/plan/assumptions.py says where each was measured):"
    yield from _assumed(basis)
    for line in plan.unknown:
        yield f"not known: {line}"


def _device(device: Device) -> str:
    many = f"{device.count} {device.kind}{'s' if device.count > 1 else ''}"
    reached = ", ".join(f"{share:.2g} {WAYS[way]}" for way, share in device.reached.items())
    return f"{many}, {number(device.flops)}FLOP/s and {number(device.bandwidth)}B/s each; of which is reached {reached}"


def _stages(plan: Plan) -> Iterator[str]:
    local, server, cores = plan.basis.local, plan.basis.server, plan.basis.cores
    unit = "GPU-h" if local.kind == GPU else "core-h"
    clock = ["clock"] if plan.probed else []
    yield _ROW.format("", "items", "read", "written", "FLOPs", unit, "server") + "".join(f" {c:>14}" for c in clock)
    totals = [0.0, 0.0, 0.0, 0.0]
    for stage in plan.stages:
        here, away, spoken = stage.hours(local, server)
        mine = here + (spoken if unit == "core-h" else 0)
        wall = stage.wall_hours(local, server, cores)
        for i, value in enumerate((mine, away, spoken, wall)):
            totals[i] += value
        end = f" {duration(3600 * wall):>14}" if plan.probed else ""
        yield _ROW.format(stage.name, "", "", "", _some(stage_flops(stage)), _some(mine), _some(away)) + end
        for item in stage.items:
            yield _item(item, local, server)
        yield from _left(stage)
    end = f" {duration(3600 * totals[3]):>14}" if plan.probed else ""
    yield (
        _ROW.format("all", "", "", "", _some(sum(map(stage_flops, plan.stages))), _some(totals[0]), _some(totals[1]))
        + end
    )
    if local.kind == GPU and totals[2]:
        yield f"  and {number(totals[2])} core-hours of this machine's {cores}"
    divided = sum(i.seconds(local) for s in plan.stages for i in s.items if i.divided and not i.served) / 3600
    if local.kind == GPU and not plan.probed:
        days = (divided / local.count + totals[0] - divided) / 24
        yield (
            f"  {number(divided)} of the {number(totals[0])} GPU-hours can be divided among GPUs (torchrun): "
            f"{number(days)} days on {local.count}, servers apart"
        )


def stage_flops(stage: Stage) -> float:
    """FLOPs of a stage."""
    return sum(item.flops for item in stage.items)


def _item(item: Item, local: Device, server: Device) -> str:
    spoken = item.core_seconds / 3600 if local.kind != GPU else 0.0
    here = "" if item.served else _some(item.seconds(local) / 3600 + spoken)
    away = _some(item.seconds(server) / 3600) if item.served else ""
    if item.core_seconds and local.kind == GPU:
        here = f"{number(item.core_seconds / 3600)} core"
    if item.unknown:
        here = "?"
    cells = (_some(item.count), _some(item.prompt), _some(item.new), _some(item.flops), here, away)
    return _ROW.format(f"  {item.what}", *cells)


def _left(stage: Stage) -> Iterator[str]:
    facts = [f"{number(stage.audio_hours)} hours of speech"] if stage.audio_hours else []
    facts += [f"{size(stage.disk)} on disk"] if stage.disk else []
    facts += [f"{size(stage.working_disk)} more while it works"] if stage.working_disk else []
    if facts:
        yield "  -> " + ", ".join(facts)


def _memory(plan: Plan) -> Iterator[str]:
    yield "memory at the peak of each stage, of one process:"
    local = plan.basis.local
    for stage in plan.stages:
        for served, where in ((False, local.kind if local.kind == GPU else "machine"), (True, "server")):
            parts = [part for part in stage.memory if part.served == served and part.bytes]
            if not parts:
                continue
            words = ", ".join(f"{part.what} {size(part.bytes)}" for part in parts)
            peak = stage.peak(served)
            over = f" (more than the {size(local.memory)} there are)" if not served and peak > local.memory > 0 else ""
            yield f"  {stage.name}: {where} {size(peak)}{over}: {words}"
    disk = sum(stage.disk for stage in plan.stages)
    working = max(stage.working_disk for stage in plan.stages)
    yield f"disk: {size(disk)} in the end, at most {size(working)} more meanwhile"


def _sources(plan: Plan) -> Iterator[str]:
    for shape in plan.basis.shapes.known:
        yield f"{shape.name} {number(shape.parameters)} ({shape.source})"


def _assumed(basis: Basis) -> Iterator[str]:
    default, row = asdict(Assumptions()) | {"audio_rows": basis.hearing.audio_rows}, "  "
    for one in fields(basis.assumed):
        value = basis.lengths.audio_rows if one.name == "audio_rows" else getattr(basis.assumed, one.name)
        word = f"{one.name}={value:g}" + ("*" if value != default[one.name] else "")
        if len(row) + len(word) > 118:
            yield row.rstrip()
            row = "  "
        row += word + " "
    yield row.rstrip()


def _some(value: float) -> str:
    return number(value) if value else ""
