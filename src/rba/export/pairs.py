"""The preference pairs of a run, read off the self-samples that alignment kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rba.alignment.objectives.objective import Sample
from rba.alignment.pairs import all_pairs, pair_across_voices
from rba.alignment.prepare import SHARED
from rba.alignment.rollout import Drawn, Valued
from rba.alignment.settings import AlignSettings
from rba.data import shards
from rba.export.example import Pair, PairKind
from rba.recipe import load_recipe


def load_pairs(root: Path, kind: PairKind, responses: Mapping[str, str]) -> dict[str, list[Pair]]:
    """The pairs of the run folder `root`, by the utterance that the rejected answer was given to.

    "group": the best and the worst answer to an instruction over all its voices, or every two if the run's
    `align.pairing` is "all" (RBA-Group, Eqs. 2-4); "single": the teacher's answer and each of the model's own
    (RBA-Single, Eqs. 6-8). `responses` are the teacher's answers, by utterance; answers to others are left out.
    """
    config = root / "config.yaml"
    # RBA-Single's pairs do not depend on settings
    settings = load_recipe(config).align if kind == "group" and config.is_file() else AlignSettings()
    found: dict[str, list[Pair]] = {}
    for source, path in _rounds(root / "align"):
        drawn = [row for row in shards.read(path, Drawn) if row.utterance_id in responses]
        rewards = _rewards(path)
        groups: dict[str, list[Drawn]] = {}
        for row in drawn:
            groups.setdefault(row.instruction_id, []).append(row)
        for rows in groups.values():
            made = _single(rows, source, responses) if kind == "single" else _group(rows, source, rewards, settings)
            for utterance, pair in made:
                found.setdefault(utterance, []).append(pair)
    return found


def _rounds(align: Path) -> Iterator[tuple[str, Path]]:
    """The shards of self-samples to spoken requests: those that methods share, then each method's own."""
    folders = [("shared", path) for path in sorted((align / SHARED).glob("answers-*"))]
    folders += [(path.parent.name, path) for path in sorted(align.glob("*/rollouts")) if path.parent.name != SHARED]
    for source, folder in folders:
        for path in sorted(folder.glob("round-*.parquet")):
            yield source, path


def _rewards(path: Path) -> dict[tuple[str, int], float | None]:
    """The rewards of a shard's answers, by utterance and member; empty where none were given."""
    place = path.with_name(f"rewards-{path.name}")
    rows = shards.read(place, Valued) if place.is_file() else []
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
