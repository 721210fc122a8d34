"""The speech of a corpus as encoder features: rendered and encoded once, kept as float16 shards."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rba import runtime
from rba.data import seeds
from rba.data.instruction import instruction_id
from rba.errors import AudioError, ProcessError
from rba.files import write_json, writing
from rba.progress import progress
from rba.speech.engine import Engine, load_engine
from rba.speech.render import plan_utterance, render
from rba.speech.speaker import SpeakerBank
from rba.workers import pooled

SHARD = 256
ENCODE_BATCH = 16


@dataclass(frozen=True)
class Spoken:
    """One utterance of the corpus: its text and where its frames lie in its shard."""

    text: str
    speaker: str
    acoustics: str
    shard: int
    start: int
    length: int


@dataclass(frozen=True)
class Job:
    """What a worker needs to make one shard."""

    index: int
    texts: tuple[str, ...]
    folder: str
    encoder: str
    split: str
    speakers: int
    acoustics: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class ShardMaker:
    """Everything that making a shard takes. Calling it is a pure function of the job."""

    encoder: Any
    engine: Engine

    def __call__(self, job: Job) -> None:
        """Render and encode the job's texts into `NNNNN.npy` [frames, F] (float16) and `NNNNN.json`.

        What cannot be said is left out.
        """
        bank, waves = SpeakerBank(size=job.speakers), []
        rows: list[dict[str, Any]] = []
        for position, text in enumerate(job.texts):
            name = instruction_id(text)
            place = (job.seed, name, job.index, position)
            voice = bank.draw(job.split, 1, seeds.derive(*place), name)[0]
            profile = job.acoustics[seeds.derive("profile", *place) % len(job.acoustics)]
            plan = plan_utterance(name, 0, voice, profile, seeds.derive("corpus", *place))
            try:
                waves.append(render(self.engine, text, plan.speaker, plan.seed, plan.acoustics))
            except AudioError:
                continue
            rows.append({"text": text, "speaker": voice.id, "acoustics": profile})
        frames = encode_all(self.encoder, waves)
        for row, frame in zip(rows, frames):
            row["length"] = len(frame)
        _write(Path(job.folder), job.index, [np.empty((0, self.encoder.width), np.float16), *frames], rows)
        runtime.give_back()  # clips of every length leave blocks that no other fits: a worker would grow to gigabytes


def make_maker(encoder: str) -> ShardMaker:
    """Load the encoder, which runs on one thread of this process, and the engine. Raises RbaError where it cannot."""
    from rba.models.encoder import load_encoder

    torch.set_num_threads(1)
    # where half precision is fast, it doubles the speed; its noise is far below that of the acoustics
    return ShardMaker(load_encoder(encoder, "auto"), load_engine("hibari"))


def encode_all(encoder: Any, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Features [T_i, F] float16 of every clip, batched by length."""
    order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    out: list[Any] = [None] * len(waves)
    for start in range(0, len(order), ENCODE_BATCH):
        chosen = order[start : start + ENCODE_BATCH]
        for i, feature in zip(chosen, encoder([waves[i] for i in chosen])):
            out[i] = feature.half().cpu().numpy()
    return out


def _write(folder: Path, index: int, frames: list[np.ndarray], rows: list[dict[str, Any]]) -> None:
    with writing(folder / f"{index:05d}.npy", "cannot write a shard") as stream:
        np.save(stream, np.concatenate(frames))
    write_json(folder / f"{index:05d}.json", rows)  # last: it marks the shard as whole


def missing_shards(
    texts: Sequence[str],
    folder: Path,
    *,
    encoder: str,
    split: str,
    speakers: int,
    acoustics: Sequence[str],
    seed: int,
) -> list[Job]:
    """The shards of `texts`, spoken and encoded, that `folder` lacks.

    A shard is a pure function of its job, so workers and restarts do not change the result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = [tuple(texts[i : i + SHARD]) for i in range(0, len(texts), SHARD)]
    return [
        Job(i, shard, str(folder), encoder, split, speakers, tuple(acoustics), seed)
        for i, shard in enumerate(shards)
        if not (folder / f"{i:05d}.json").is_file()
    ]


def make_shards(jobs: Sequence[Job], workers: int = 0) -> None:
    """Make the shards of `jobs`, of one encoder, in `workers` processes; 0 = one a core.

    Raises ModelError for an encoder that cannot be loaded, ProcessError where a process dies.
    """
    if not jobs:
        return
    count = min(len(jobs), workers or os.cpu_count() or 1)
    fix = "set connect.workers=1 where memory is short, and run the same command again"
    died = ProcessError("a worker that speaks for the connector died", f"{count} workers", fix)
    with (
        progress("speech for the connector", sum(len(job.texts) for job in jobs)) as bar,
        pooled(partial(make_maker, jobs[0].encoder), count, died) as submit,
    ):
        made = {submit(job): len(job.texts) for job in jobs}
        for done in as_completed(made):
            done.result()
            bar.advance(made[done])


class FeatureStore:
    """Reads what `make_shards` wrote; frames stay on disk (memory-mapped)."""

    def __init__(self, folder: Path | None = None):
        self.rows: list[Spoken] = []
        self._frames: list[np.ndarray] = []
        for listing in sorted(folder.glob("[0-9]*.json")) if folder else []:
            shard, start = len(self._frames), 0
            self._frames.append(np.load(listing.with_suffix(".npy"), mmap_mode="r"))
            for row in json.loads(listing.read_text()):
                self.rows.append(Spoken(row["text"], row["speaker"], row["acoustics"], shard, start, row["length"]))
                start += row["length"]

    @classmethod
    def join(cls, stores: Sequence[FeatureStore]) -> FeatureStore:
        """One store over several, in order."""
        whole = cls()
        for store in stores:
            offset = len(whole._frames)
            whole.rows += [replace(row, shard=row.shard + offset) for row in store.rows]
            whole._frames += store._frames
        return whole

    def __len__(self) -> int:
        return len(self.rows)

    def features(self, i: int) -> torch.Tensor:
        """Features [T, F] float16 of utterance i."""
        row = self.rows[i]
        return torch.from_numpy(np.array(self._frames[row.shard][row.start : row.start + row.length]))

    @property
    def frames(self) -> int:
        """Feature vectors of all utterances together."""
        return sum(row.length for row in self.rows)
