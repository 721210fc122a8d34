"""The speech stage: every instruction spoken by several voices, in shards of audio."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from rba.cluster.settings import RaySettings
from rba.data.instruction import Instruction
from rba.data.utterance import Utterance
from rba.errors import AudioError, ProcessError
from rba.progress import progress
from rba.services.service import is_service
from rba.speech import engine, recogniser
from rba.speech.acoustics import Acoustics, profile_named
from rba.speech.bank import check_bank
from rba.speech.gate import UNINTELLIGIBLE
from rba.speech.settings import SpeechSettings
from rba.speech.worker import Spoken, make_worker
from rba.workers import pooled
from rba.workspace import StageFolder, write_json

AHEAD = 4
"""Instructions under way for each worker: enough to keep it busy while a shard is written."""

REASONS = 3
"""Why utterances were left out, told where all of them were: the most frequent."""


def run(
    settings: SpeechSettings,
    *,
    folder: StageFolder,
    seed: int,
    instructions: Sequence[Instruction],
    cluster: RaySettings | None = None,
) -> None:
    """Speak `instructions` in `settings.voices` voices each: `Utterance` shards in `folder`, opened by the caller.

    It is done by processes of this machine, or by workers on a `cluster`. A shard is a pure function of its
    instructions, the settings and the seed: neither who spoke it nor a restart changes a byte of it. Shards that
    exist are kept. What cannot be spoken is left out and counted (note "dropped"). Raises RecipeError for an unknown
    engine or profile, or a bank with too few speakers, AudioError where nothing at all can be spoken, ClusterError for
    a cluster that does not do its part.
    """
    _check(settings, instructions)
    size = settings.shard_size
    parts = {i: instructions[at : at + size] for i, at in enumerate(range(0, len(instructions), size))}
    missing = {i: part for i, part in parts.items() if not folder.has_shard(i)}
    queue = [item for part in missing.values() for item in part]
    with progress("speech", settings.voices * len(queue)) as bar:
        if cluster and queue and not engine.is_served(settings.engine):  # what a server has said is kept here
            results = _on_cluster(settings, seed, queue, cluster)
        else:
            results = _spoken(settings, seed, queue)
        waiting: dict[int, list[Spoken]] = {}  # for something to be spoken: shards of nothing alone are worth nothing
        heard = len(missing) < len(parts)
        for index, part in missing.items():
            waiting[index] = []
            for _ in part:
                waiting[index].append(next(results))
                bar.advance(settings.voices)
            heard = heard or any(one.utterances for one in waiting[index])
            if heard:
                _write(folder, waiting)
                waiting.clear()
    if waiting:
        raise _nothing(settings, [reason for part in waiting.values() for one in part for _, reason in one.dropped])
    for key, value in _totals([json.loads(_facts_path(folder, i).read_text()) for i in parts]).items():
        folder.note(key, value)
    folder.complete()


def _check(settings: SpeechSettings, instructions: Sequence[Instruction]) -> None:
    check_bank(settings, {item.split for item in instructions})
    profile_named(settings.acoustics)
    if instructions:
        engine.prepare(settings.engine)
        if settings.gate:
            recogniser.prepare(settings.gate_asr)


def _spoken(settings: SpeechSettings, seed: int, items: Sequence[Instruction]) -> Iterator[Spoken]:
    """What was spoken for each instruction, in order, made by a pool of processes.

    A single worker stays in this process, but not with a recogniser of its own, as that sets torch's threads.
    """
    workers = min(settings.workers or os.cpu_count() or 1, len(items))
    if workers <= 1 and (not settings.gate or is_service(settings.gate_asr)):
        return map(make_worker(settings, seed), items) if items else iter(())
    return _pooled(settings, seed, items, max(1, workers))


def _pooled(settings: SpeechSettings, seed: int, items: Sequence[Instruction], count: int) -> Iterator[Spoken]:
    """As `_spoken`; only a little more is under way than the pool can work on, so that memory stays bounded."""
    fix = 'set speech.workers=1; a script of your own needs `if __name__ == "__main__":` around its calls'
    died = ProcessError("a speech worker died", f"{count} workers", fix)
    waiting: deque[Future[Spoken]] = deque()
    with pooled(partial(make_worker, settings, seed), count, died) as submit:
        for item in items:
            waiting.append(submit(item))
            if len(waiting) >= AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _on_cluster(
    settings: SpeechSettings, seed: int, items: Sequence[Instruction], cluster: RaySettings
) -> Iterator[Spoken]:
    """As `_spoken`, by workers on a cluster."""
    from rba.cluster.pool import Pool

    with Pool("speech", partial(make_worker, settings, seed), cluster, cluster.speech, len(items), AHEAD) as pool:
        yield from pool.map(items)


def _write(folder: StageFolder, shards: Mapping[int, Sequence[Spoken]]) -> None:
    for index, spoken in shards.items():
        write_json(_facts_path(folder, index), _facts(spoken))  # before the shard, so that no shard lacks its facts
        folder.write_shard(index, [row for one in spoken for row in one.utterances], Utterance)


def _nothing(settings: SpeechSettings, reasons: Sequence[str]) -> AudioError:
    """What to say where every utterance was left out, and why they were."""
    told = "; ".join(f"{reason} ({count})" for reason, count in Counter(reasons).most_common(REASONS))
    gate = " or a higher speech.gate_wer" if UNINTELLIGIBLE in reasons else ""
    fix = f"choose another engine{gate}, or other texts"
    return AudioError(f"none of {len(reasons)} utterances could be spoken: {told}", f"engine {settings.engine}", fix)


def _facts_path(folder: StageFolder, index: int) -> Path:
    return folder.path / f"facts-{index:05d}.json"


def _facts(spoken: Sequence[Spoken]) -> dict[str, Any]:
    """What the totals need to know of one shard, so that nobody has to read its audio again."""
    rows = [row for one in spoken for row in one.utterances]
    speakers: dict[str, list[str]] = {}
    for row in rows:
        speakers.setdefault(row.split, []).append(row.speaker)
    return {
        "utterances": len(rows),
        "seconds": sum(row.duration for row in rows),
        "speakers": {split: sorted(set(names)) for split, names in speakers.items()},
        "acoustics": dict(Counter(tag for row in rows for tag in Acoustics.from_json(row.acoustics).tags())),
        "dropped": [list(pair) for one in spoken for pair in one.dropped],
    }


def _totals(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The stage's notes: counts, hours, different speakers by split, shares of acoustics, reasons for drops."""
    count = sum(fact["utterances"] for fact in facts)
    tags: Counter[str] = Counter()
    speakers: dict[str, set[str]] = {}
    for fact in facts:
        tags.update(fact["acoustics"])
        for split, names in fact["speakers"].items():
            speakers.setdefault(split, set()).update(names)
    return {
        "utterances": count,
        "hours": round(sum(fact["seconds"] for fact in facts) / 3600, 4),
        "speakers": {split: len(names) for split, names in sorted(speakers.items())},
        "acoustics": {tag: round(n / count, 4) for tag, n in sorted(tags.items())},
        "dropped": dict(Counter(reason for fact in facts for _, reason in fact["dropped"])),
    }
