"""How good are the judges? Their accuracy on hand-made pairs of a good and a bad answer.

python -m rba.evaluation.judge_accuracy recall similarity likelihood --teacher smollm2-135m-instruct
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from rba.evaluation.judge import Judge, load_judge
from rba.evaluation.settings import JUDGES
from rba.evaluation.winrate import preferences


@dataclass(frozen=True)
class JudgeItem:
    """A request, a reference answer, a good answer in other words, and a bad one whose fault is `kind`."""

    id: str
    kind: str
    question: str
    reference: str
    good: str
    bad: str


@dataclass(frozen=True)
class Accuracy:
    """On which share of n items of `kind` ("all": every kind) `judge` prefers the good answer, with 95 % interval."""

    judge: str
    kind: str
    n: int
    accuracy: float
    low: float
    high: float


def judge_items() -> list[JudgeItem]:
    """The hand-made items of the package, eight of each kind of fault."""
    text = (resources.files("rba.evaluation") / "judge_items.jsonl").read_text(encoding="utf-8")
    return [JudgeItem(**json.loads(line)) for line in text.splitlines()]


def wilson(right: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a share `right` / n (Wilson 1927); half points are allowed."""
    share = right / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def measure_judges(judges: Sequence[Judge], items: Sequence[JudgeItem] | None = None) -> list[Accuracy]:
    """The accuracy of each judge on all items and on each kind; a tie is half right, no verdict is wrong."""
    items = judge_items() if items is None else items
    columns = [[getattr(i, name) for i in items] for name in ("question", "good", "bad", "reference")]
    rows = []
    for judge in judges:
        verdicts = [0.0 if math.isnan(p) else p for p in preferences(judge, *columns)]
        for kind in ("all", *dict.fromkeys(i.kind for i in items)):
            own = [v for v, i in zip(verdicts, items) if kind in ("all", i.kind)]
            rows.append(Accuracy(judge.name, kind, len(own), sum(own) / len(own), *wilson(sum(own), len(own))))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the accuracy of the named judges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("judges", nargs="*", default=list(JUDGES[:2]), help=f"of {', '.join(JUDGES)}")
    parser.add_argument(
        "--teacher", default="smollm2-135m-instruct", help="model of the judges likelihood, pairwise and letter"
    )
    parser.add_argument("--embedder", default="all-minilm-l6-v2", help="the similarity judge's model")
    parser.add_argument("--reward-model", default="", help="the model of the judge of that name")
    options = parser.parse_args(arguments)

    def teacher():
        from rba.teachers.load import load_teacher

        return load_teacher(options.teacher)

    def embedder():
        from rba.lm.embedder import SentenceEmbedder

        return SentenceEmbedder(options.embedder)

    def reward_model():
        from rba.lm.reward_model import load_reward_model

        return load_reward_model(options.reward_model)

    judges = [
        load_judge(name, teacher=teacher, embedder=embedder, judge=teacher, reward_model=reward_model)
        for name in options.judges
    ]
    for row in measure_judges(judges):
        print(f"{row.judge:<12}{row.kind:<18}{row.accuracy:6.3f}  [{row.low:.3f}, {row.high:.3f}]  n {row.n}")


if __name__ == "__main__":
    main()
