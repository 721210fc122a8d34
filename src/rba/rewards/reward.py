"""Rewards by name: one, or a weighted sum such as "recall + 0.5*similarity - deaf".

    reward = load_reward("recall - deaf")
    values = reward(prompts, completions, reference=references)      # list of float | None
    reward.dropped                                                   # Counter({"recall: no value": 1})

A completion that cannot be scored gets None and is counted; it must be left out, not taken for a bad one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from rba.errors import RecipeError
from rba.rewards.likelihood import Scorer
from rba.rewards.similarity import Embedder


class Reward(Protocol):
    """What alignment and evaluation call: TRL's reward signature. None marks a completion that could not be scored."""

    name: str

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str],
        **columns: Any,
    ) -> Sequence[float | None]:
        """One value per completion."""
        ...


NAMES = ("recall", "similarity", "likelihood", "likelihood-sum", "deaf")
_TERM = re.compile(r"\s*([+-]?)\s*(?:(\d+(?:\.\d+)?)\s*\*\s*)?([a-z][a-z0-9-]*)\s*")


def parse_weights(spec: str | Mapping[str, float]) -> dict[str, float]:
    """The weight of each named reward. Raises RecipeError for an unreadable sum or an unknown or repeated name."""
    fix = 'write e.g. "recall + 0.5*similarity - deaf", with ' + ", ".join(NAMES)
    if isinstance(spec, Mapping):
        weights = {str(k): float(v) for k, v in spec.items()}
    else:
        weights, position = {}, 0
        while position < len(spec):
            term = _TERM.match(spec, position)
            if term is None or (position > 0 and not term[1]) or term[3] in weights:
                raise RecipeError("not a sum of rewards", spec, fix)
            weights[term[3]] = float(term[2] or 1) * (-1 if term[1] == "-" else 1)
            position = term.end()
    for name in weights:
        if name not in NAMES:
            raise RecipeError("unknown reward", name, fix)
    if not weights:
        raise RecipeError("no reward given", str(spec), fix)
    return weights


def load_reward(
    spec: str | Mapping[str, float],
    *,
    teacher: Scorer | Callable[[], Scorer] | None = None,
    embedder: Embedder | Callable[[], Embedder] | None = None,
) -> WeightedReward:
    """The reward that `spec` names. `teacher` and `embedder`, or functions that load them, are used only if needed.

    Raises RecipeError for an unreadable spec and where a named reward lacks its teacher or embedder.
    """
    weights = parse_weights(spec)
    return WeightedReward([(_load_one(name, teacher, embedder), weight) for name, weight in weights.items()])


def _load_one(name: str, teacher: Any, embedder: Any) -> Reward:
    if name == "recall":
        from rba.rewards.recall import Recall

        return Recall()
    if name == "deaf":
        from rba.rewards.deaf import DidNotHear

        return DidNotHear()
    if name == "similarity":
        from rba.rewards.similarity import Similarity

        return Similarity(_loaded(embedder, "encode", "a sentence embedder", name))
    from rba.rewards.likelihood import Likelihood

    reduction = "sum" if name == "likelihood-sum" else "mean"
    return Likelihood(_loaded(teacher, "log_likelihood", "a teacher that gives log-probs", name), reduction, name)


def _loaded(part: Any, method: str, what: str, reward: str) -> Any:
    """`part` itself if it has the method, else what it loads."""
    made = part if part is None or hasattr(part, method) else part()
    if not hasattr(made, method):
        raise RecipeError(f"the reward needs {what}", reward, "name one, or choose another reward")
    return made


class WeightedReward:
    """A weighted sum of rewards; None wherever a part is None, not finite or fails. `dropped` counts why.

    A part that raises on a batch is tried on each completion alone; one that raises on all of several is broken: its
    error is raised.
    """

    def __init__(self, parts: Sequence[tuple[Reward, float]]):
        self.parts = list(parts)
        self.name = " + ".join(reward.name if weight == 1 else f"{weight:g}*{reward.name}" for reward, weight in parts)
        self.dropped: Counter[str] = Counter()

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str],
        **columns: Any,
    ) -> list[float | None]:
        """One value per completion."""
        total: list[float | None] = [0.0] * len(completions)
        per_item = {"reference": reference, **columns}
        for reward, weight in self.parts:
            values = self._score(reward, prompts, completions, completion_ids, per_item)
            total = [None if t is None or v is None else t + weight * v for t, v in zip(total, values)]
        return total

    def _score(
        self, reward: Reward, prompts: Sequence[str], completions: Sequence[str], ids: Any, columns: dict[str, Any]
    ) -> list[float | None]:
        values: list[Any]
        try:
            values = list(reward(prompts, completions, ids, **columns))
            if len(values) != len(completions):
                raise ValueError(f"{reward.name} gave {len(values)} values for {len(completions)} completions")
        except Exception as error:
            values = [_score_one(reward, i, prompts, completions, ids, columns) for i in range(len(completions))]
            if len(values) > 1 and all(isinstance(v, Exception) for v in values):
                raise error
        return [self._checked(reward.name, v) for v in values]

    def _checked(self, name: str, value: Any) -> float | None:
        if isinstance(value, Exception):
            self.dropped[f"{name}: {type(value).__name__}"] += 1
        elif value is None:
            self.dropped[f"{name}: no value"] += 1
        elif not math.isfinite(value):
            self.dropped[f"{name}: not finite"] += 1
        else:
            return float(value)
        return None


def _score_one(reward: Reward, i: int, prompts: Any, completions: Any, ids: Any, columns: dict[str, Any]) -> Any:
    """The value of completion i scored alone, or the exception it raises."""
    own = {k: v[i : i + 1] if isinstance(v, (list, tuple)) else v for k, v in columns.items()}
    try:
        (value,) = reward(prompts[i : i + 1], completions[i : i + 1], ids[i : i + 1] if ids else None, **own)
        return value
    except Exception as error:
        return error


def length_correlation(rewards: Sequence[float | None], lengths: Sequence[int]) -> float | None:
    """Pearson correlation of rewards with answer lengths over the scored answers; None if either does not vary.

    Watch it in training: near 1, the reward pays for length.
    """
    pairs = [(r, n) for r, n in zip(rewards, lengths) if r is not None]
    if len(pairs) < 2:
        return None
    n = len(pairs)
    mean_r, mean_n = sum(r for r, _ in pairs) / n, sum(n for _, n in pairs) / n
    cross = sum((r - mean_r) * (k - mean_n) for r, k in pairs)
    spread = sum((r - mean_r) ** 2 for r, _ in pairs) * sum((k - mean_n) ** 2 for _, k in pairs)
    return cross / math.sqrt(spread) if spread > 0 else None
