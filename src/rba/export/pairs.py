"""The preference pairs of a run, read off the self-samples that alignment kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from rba.alignment.objectives.objective import Sample, load_objective
from rba.alignment.pairs import all_pairs, pair_across_voices
from rba.alignment.prepare import SHARED
from rba.alignment.rollout import MARK, Drawn, Valued
from rba.alignment.settings import AlignSettings
from rba.alignment.variants import resolve, trained
from rba.data import shards
from rba.export.example import Pair, PairKind
from rba.recipe import load_recipe
from rba.workspace import StageFolder

SHARED_SOURCE = "shared"

_Kept: TypeAlias = tuple[str, Path, AlignSettings, str]
"""A source of pairs by name, the folder of its self-samples, the settings that they are paired with, and the mark of
their rewards; "" for whichever there are."""


def load_pairs(root: Path, kind: PairKind, responses: Mapping[str, str]) -> dict[str, list[Pair]]:
    """The pairs of the run folder `root`, by the utterance that the rejected answer was given to.

    "group": the best and the worst answer to an instruction over all its voices, or every two if the run's
    `align.pairing` is "all" (RBA-Group, Eqs. 2-4); "single": the teacher's answer and each of the model's own
    (RBA-Single, Eqs. 6-8). `responses` are the teacher's answers, by utterance; answers to others are left out.
    """
    config = root / "config.yaml"
    align = root / "align"
    kept = _used(align, load_recipe(config).align) if config.is_file() else _all(align)
    found: dict[str, list[Pair]] = {}
    rounds = [(s, path, own, mark) for s, f, own, mark in kept for path in sorted(f.glob("round-*.parquet"))]
    for source, path, settings, mark in rounds:
        drawn = [row for row in shards.read(path, Drawn) if row.utterance_id in responses]
        rewards = _rewards(path, mark)
        groups: dict[str, list[Drawn]] = {}
        for row in drawn:
            groups.setdefault(row.instruction_id, []).append(row)
        for rows in groups.values():
            made = _single(rows, source, responses) if kind == "single" else _group(rows, source, rewards, settings)
            for utterance, pair in made:
                found.setdefault(utterance, []).append(pair)
    return found


def _used(align: Path, settings: AlignSettings) -> list[_Kept]:
    """Self-samples of what the recipe trains: those that methods share, then the own ones of what has been trained.

    Shared ones are paired as RBA-Group does, where it shares them: other methods may have other settings, or no pairs.
    """
    trains = {name: resolve(settings, name) for name in trained(settings)}
    # variants under names of their own take shared answers, but never draw them (rba.alignment.stage)
    sharing = {name: own for name, (method, own) in trains.items() if name == method and own.refresh == "once"}
    pairing = sharing.get("rba-group", next(iter(sharing.values()), None))
    shared = sorted((align / SHARED).glob("answers-*"), key=lambda path: path.stat().st_mtime)
    # first those that rank by the recipe's reward alone
    ranking = sorted(sharing, key=lambda name: bool(load_objective(name, sharing[name]).reward_terms))
    mark = next(filter(None, (_mark(align / name) for name in ranking)), "")
    kept = [(SHARED_SOURCE, shared[-1], pairing, mark)] if shared and pairing else []
    finished = [name for name in sorted(trains) if StageFolder(align / name).is_complete]
    return kept + [(name, align / name / "rollouts", trains[name][1], _mark(align / name)) for name in finished]


def _all(align: Path) -> list[_Kept]:
    """All self-samples that lie in a folder without a recipe."""
    shared = [(SHARED_SOURCE, path, AlignSettings(), "") for path in sorted((align / SHARED).glob("answers-*"))]
    own = [path for path in sorted(align.glob("*/rollouts")) if not path.parent.name.startswith(".")]
    return shared + [(path.parent.name, path, AlignSettings(), _mark(path.parent)) for path in own]


def _mark(stage: Path) -> str:
    """The mark of the rewards that a training ranked answers by; "" where it says none."""
    return str(StageFolder(stage).notes.get("reward_mark", ""))


def _rewards(path: Path, mark: str) -> dict[tuple[str, int], float | None]:
    """The rewards of a shard's answers, by utterance and member; empty where none were given."""
    found = sorted(path.parent.glob(f"rewards-{mark or '?' * MARK}-{path.name}"))
    rows = shards.read(found[0], Valued) if found else []
    return {(row.utterance_id, row.member): row.reward for row in rows}


def _group(
    rows: list[Drawn], source: str, rewards: Mapping[tuple[str, int], float | None], settings: AlignSettings
) -> Iterator[tuple[str, Pair]]:
    samples = [
        Sample(r.utterance_id, tuple(r.ids), r.text, r.finished, reward=rewards.get((r.utterance_id, r.member)))
        for r in rows
    ]
    best = pair_across_voices(samples, settings.tie_eps)
    numbers = [(best.chosen, best.rejected)] if best.outcome == "pair" else []
    if settings.pairing == "all":
        numbers = all_pairs(samples, settings.tie_eps)
    for i, j in numbers:
        good, bad = samples[i], samples[j]
        yield bad.utterance, Pair(good.text, bad.text, good.reward, bad.reward, source, rows[j].round)


def _single(rows: list[Drawn], source: str, responses: Mapping[str, str]) -> Iterator[tuple[str, Pair]]:
    for row in rows:
        answer = responses[row.utterance_id].strip()
        if answer and row.text.strip() != answer:
            yield row.utterance_id, Pair(answer, row.text, None, None, source, row.round)
