"""Which judges of an evaluation a training was paid by: what it learnt to please must not alone say how good it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rba.alignment.settings import AlignSettings
from rba.alignment.variants import resolve, trained
from rba.evaluation.settings import EvaluateSettings
from rba.recipe import Recipe
from rba.rewards.spec import parse_weights

_LLM_JUDGES = ("pairwise", "letter")
_JUDGES = {"likelihood-sum": ("likelihood",), "judge": _LLM_JUDGES, "judge-likelihood": _LLM_JUDGES}
"""The judges that want what a reward pays for, where they are not called as it is."""


def paid(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """The judges of `evaluate.judges` whose liking was a reward, for every method and variant that rewards train.

    Rewards that an objective adds of its own count, those of no or negative weight do not. A judge that is a model is
    paid by only where the reward has the same one.
    """
    found, judges = {}, recipe.evaluate.judges
    for name in trained(recipe.align):
        paying = set(_paying(recipe, name))
        own = tuple(judge for judge in judges if (judge, _model(judge, recipe.evaluate, recipe.teacher)) in paying)
        if own:
            found[name] = own
    return found


def warn(recipe: Recipe) -> None:
    """Print a line for every training that no judge but its own rewards is to judge."""
    for name, judges in paid(recipe).items():
        if len(judges) == len(recipe.evaluate.judges):
            told = f"rba: {name} was trained for what all its judges like ({', '.join(judges)})"
            print(f"{told}; add one that its reward does not hold to evaluate.judges", file=sys.stderr, flush=True)


def _paying(recipe: Recipe, name: str) -> Iterator[tuple[str, str]]:
    """The judges, and the models that they judge with, whose liking rewards the training `name`."""
    from rba.alignment.objectives.objective import load_objective

    method, settings = resolve(recipe.align, name)
    objective = load_objective(method, settings)
    if objective.needs_rewards:
        weights = parse_weights(settings.reward)
        for reward, weight in [*weights.items(), *objective.reward_terms.items()]:
            if weight > 0:
                for judge in _JUDGES.get(reward, (reward,)):
                    yield judge, _model(judge, settings, recipe.teacher)


def _model(judge: str, settings: AlignSettings | EvaluateSettings, teacher: str) -> str:
    """The model that a judge judges with, where the evaluation and a reward may have different ones."""
    if judge == "reward-model":
        return settings.reward_model
    return (settings.judge or teacher) if judge in _LLM_JUDGES else ""
