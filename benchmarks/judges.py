"""How far a judge that scores answers by themselves agrees with GPT-4, on AlpacaEval's public annotations.

    git clone --depth 1 https://github.com/tatsu-lab/alpaca_eval
    python benchmarks/judges.py alpaca_eval [--judge recall similarity] [--models 60] [--instructions 805] [--json OUT]

Every annotated model of AlpacaEval 2 answered the same instructions and was compared with GPT-4 Turbo, whose answer is
the reference here. A pair are two models' answers to one instruction; GPT-4 prefers the one that it liked more beside
the reference. Pairs that it liked alike, to a tenth, are left out; a judge's tie is half right. GPT-4 likes long
answers, so agreement is also given for pairs whose lengths differ by less than a tenth. Intervals are of a bootstrap
over instructions.

Also: the rank correlation of the models by how often they win over the others, and rba's length-controlled win rates of
GPT-4's own preferences beside the published ones. The annotations are CC BY-NC 4.0.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"
BOARD = f"src/alpaca_eval/leaderboards/data_AlpacaEval_2/{ANNOTATOR}_leaderboard.csv"
APART = ALIKE = 0.1


@dataclass(frozen=True)
class Annotations:
    """K models' answers to N instructions: `liked_KN` in [0, 1] is GPT-4's preference for them over the reference."""

    models: list[str]
    instructions: list[str]
    references: list[str]
    answers_KN: list[list[str]]
    liked_KN: np.ndarray


def read(root: Path, models: int, instructions: int) -> Annotations:
    """The first `models` that have all annotations, by name, on the first `instructions`."""
    names, answers, liked = [], [], []
    first: list[dict] = []
    for path in sorted(root.glob(f"results/*/{ANNOTATOR}/annotations.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))
        first = first or rows
        same = [row["instruction"] for row in rows] == [row["instruction"] for row in first]
        if same and all(isinstance(row["preference"], int | float) for row in rows) and len(names) < models:
            names.append(path.parts[-3])
            answers.append([row["output_2"] for row in rows[:instructions]])
            liked.append([row["preference"] - 1 for row in rows[:instructions]])
    if len(names) < 3:
        raise SystemExit(f"{root} holds fewer than three models with {ANNOTATOR}: give a checkout of alpaca_eval")
    kept = first[:instructions]
    told = [row["instruction"] for row in kept], [row["output_1"] for row in kept]
    return Annotations(names, *told, answers, np.array(liked))


def scores(data: Annotations, judge: str) -> np.ndarray:
    """What the judge's reward gives every answer [K, N]; NaN where it gives none."""
    from rba.lm.embedder import SentenceEmbedder
    from rba.rewards.reward import load_reward

    reward = load_reward(judge, embedder=lambda: SentenceEmbedder())
    rows = [reward(data.instructions, answers, reference=data.references) for answers in data.answers_KN]
    return np.array([[np.nan if value is None else value for value in row] for row in rows])


def lengths(data: Annotations) -> np.ndarray:
    """Characters of every answer [K, N]."""
    return np.array([[float(len(answer)) for answer in row] for row in data.answers_KN])


def agreement(score_KN: np.ndarray, liked_KN: np.ndarray, length_KN: np.ndarray | None = None) -> np.ndarray:
    """Right pairs and pairs [2, N] of each instruction; with lengths, of pairs that are about as long."""
    first, second = np.triu_indices(len(score_KN), 1)
    gap_PN, wanted_PN = score_KN[first] - score_KN[second], liked_KN[first] - liked_KN[second]
    counts_PN = (np.abs(wanted_PN) > APART) & np.isfinite(gap_PN)
    if length_KN is not None:
        one_PN, other_PN = length_KN[first], length_KN[second]
        counts_PN &= np.abs(one_PN - other_PN) < ALIKE * np.maximum(one_PN, other_PN)
    right_PN = np.where(np.abs(gap_PN) < 1e-6, 0.5, np.sign(gap_PN) == np.sign(wanted_PN))
    return np.stack([(right_PN * counts_PN).sum(0), counts_PN.sum(0)])


def won(score_KN: np.ndarray) -> np.ndarray:
    """How often each model's answer scores above another's [K]."""
    beats_KKN = (score_KN[:, None] > score_KN[None]) + 0.5 * (score_KN[:, None] == score_KN[None])
    return beats_KKN.mean((1, 2))


def length_control(data: Annotations, board: Path) -> dict[str, float]:
    """rba's length-controlled win rates over the reference, in percent, beside those of the leaderboard."""
    from rba.evaluation.length_control import difficulty_term, length_controlled

    with board.open(encoding="utf-8", newline="") as stream:
        published = {row[""]: float(row["length_controlled_winrate"]) for row in csv.DictReader(stream)}
    length_KN, reference_N = lengths(data), np.array([len(text) for text in data.references])
    ours, theirs = [], []
    for k, name in enumerate(data.models):
        if name in published:
            others = np.delete(data.liked_KN, k, 0)
            found = length_controlled(
                data.liked_KN[k], length_KN[k] - reference_N, difficulty_M=difficulty_term(others)
            )
            ours.append(100 * float(found[0]))
            theirs.append(published[name])
    return {
        "models": len(ours),
        "pearson": float(np.corrcoef(ours, theirs)[0, 1]),
        "mean_error": float(np.abs(np.array(ours) - theirs).mean()),
    }


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, those of equal values by their order."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)


def compare(score_KN: np.ndarray, data: Annotations) -> dict[str, float]:
    """Agreement on pairs with its interval, and the rank correlation of the models."""
    from rba.evaluation.bootstrap import Bootstrap

    found: dict[str, float] = {}
    for where, length_KN in (("", None), ("_alike", lengths(data))):
        right_N, pairs_N = agreement(score_KN, data.liked_KN, length_KN)
        share_S = Bootstrap(len(pairs_N)).ratio(right_N, pairs_N)  # of the sample itself, then of every resample
        low, high = np.nanpercentile(share_S[1:], [2.5, 97.5])
        told = {"pairs": pairs_N.sum(), "agreement": share_S[0], "low": low, "high": high}
        found |= {f"{name}{where}": float(value) for name, value in told.items()}
    order = np.corrcoef(ranks(won(np.nan_to_num(score_KN))), ranks(data.liked_KN.mean(1)))[0, 1]
    return {**found, "spearman": float(order)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line a judge, one for the longer answer, and one for the length-controlled win rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="a checkout of alpaca_eval")
    parser.add_argument("--judge", nargs="+", default=["recall"], choices=["recall", "similarity"])
    parser.add_argument("--models", type=int, default=60)
    parser.add_argument("--instructions", type=int, default=805)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    data = read(given.root, given.models, given.instructions)
    print(f"{len(data.models)} models, {len(data.instructions)} instructions")
    found = {"the longer answer": compare(lengths(data), data)}
    found |= {name: compare(scores(data, name), data) for name in given.judge}
    for name, row in found.items():
        told = f"agrees on {row['agreement']:.3f} [{row['low']:.3f}, {row['high']:.3f}] of {row['pairs']:,.0f} pairs"
        told += f", on {row['agreement_alike']:.3f} [{row['low_alike']:.3f}, {row['high_alike']:.3f}] of those as long"
        print(f"{name:>18}: {told}; order of the models (Spearman) {row['spearman']:.2f}")
    if (given.root / BOARD).is_file():
        found["length control"] = control = length_control(data, given.root / BOARD)
        beside = f"{control['models']} published ones: Pearson {control['pearson']:.3f}"
        print(f"length-controlled win rates beside {beside}, mean error {control['mean_error']:.1f} points")
    if given.json:
        told_all = {"models": data.models, "instructions": len(data.instructions), "results": found}
        given.json.write_text(json.dumps(told_all, indent=1) + "\n")


if __name__ == "__main__":
    main()
