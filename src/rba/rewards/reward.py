"""Rewards by name: one, or a weighted sum such as "recall + 0.5*similarity - deaf".

    reward = load_reward("recall - deaf")
    values = reward(prompts, completions, reference=references)      # list of float | None
    reward.dropped                                                   # Counter({"recall: no value": 1})

A completion that cannot be scored gets None and is counted; it must be left out, not taken for a bad one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from rba.errors import RecipeError
from rba.lm.task import NO_TASK, TaskSettings
from rba.rewards.custom import load_custom
from rba.rewards.deaf import DidNotHear
from rba.rewards.instructed import Instructed
from rba.rewards.judge import LikelihoodJudge, Replier, WrittenJudge
from rba.rewards.length import Length
from rba.rewards.likelihood import Likelihood, Scorer
from rba.rewards.model import AnswerScorer, ModelScore
from rba.rewards.qa import Contains, ExactMatch
from rba.rewards.recall import Recall
from rba.rewards.repetition import Repetition
from rba.rewards.similarity import Embedder, Similarity
from rba.rewards.spec import is_custom, parse_weights
from rba.rewards.translation import Bleu, Chrf
from rba.rewards.weighted import WeightedReward


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


_PLAIN: dict[str, Callable[[], Any]] = {
    "recall": Recall,
    "bleu": Bleu,
    "bleu-zh": partial(Bleu, "zh", "bleu-zh"),
    "bleu-char": partial(Bleu, "char", "bleu-char"),
    "chrf": Chrf,
    "exact-match": ExactMatch,
    "contains": Contains,
    "deaf": DidNotHear,
    "length": Length,
    "repetition": Repetition,
}
"""Rewards that need nothing but texts."""

_WITH_MODEL: dict[str, tuple[Callable[[Any], Any], str, str, str]] = {
    "similarity": (Similarity, "embedder", "encode", "a sentence embedder"),
    "likelihood": (Likelihood, "teacher", "log_likelihood", "a teacher that gives log-probs"),
    "likelihood-sum": (
        partial(Likelihood, reduction="sum", name="likelihood-sum"),
        "teacher",
        "log_likelihood",
        "a teacher that gives log-probs",
    ),
    "reward-model": (ModelScore, "reward_model", "score", "a reward model"),
    "judge": (WrittenJudge, "judge", "answer", "a judge that answers"),
    "judge-likelihood": (LikelihoodJudge, "judge", "log_likelihood", "a judge that gives log-probs"),
}
"""Rewards that need a model: what makes them, whose argument of `load_reward`, the method it must have, in words."""


def load_reward(
    spec: str | Mapping[str, float],
    *,
    scaling: str = "none",
    teacher: Scorer | Callable[[], Scorer] | None = None,
    embedder: Embedder | Callable[[], Embedder] | None = None,
    reward_model: AnswerScorer | Callable[[], AnswerScorer] | None = None,
    judge: Replier | Scorer | Callable[[], Replier | Scorer] | None = None,
    task: TaskSettings = NO_TASK,
) -> WeightedReward:
    """The reward that `spec` names. Models, or functions that load them, are used only if needed.

    Judge and reward model, who know nothing of the run, read its `task` above the request.

    Raises RecipeError for an unreadable spec, a named reward that lacks its model, and a user's `module:function` that
    cannot be imported.
    """
    models = {"teacher": teacher, "embedder": embedder, "reward_model": reward_model, "judge": judge}
    parts = [(_load_one(name, models, task), weight) for name, weight in parse_weights(spec).items()]
    return WeightedReward(parts, scaling)


def _load_one(name: str, models: Mapping[str, Any], task: TaskSettings) -> Reward | Callable[..., Any]:
    if is_custom(name):
        return load_custom(name)
    if name in _PLAIN:
        return _PLAIN[name]()
    make, model, method, what = _WITH_MODEL[name]
    made = make(_loaded(models[model], method, what, name))
    return Instructed(made, task) if task.prompt and model in ("judge", "reward_model") else made


def _loaded(part: Any, method: str, what: str, reward: str) -> Any:
    """`part` itself if it has the method, else what it loads."""
    made = part if part is None or hasattr(part, method) else part()
    if not hasattr(made, method):
        raise RecipeError(f"the reward needs {what}", reward, "name one, or choose another reward")
    return made
