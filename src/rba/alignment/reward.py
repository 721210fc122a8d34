"""What values the answers of a training: the recipe's reward and the objective's own, and what tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

from rba import config
from rba.alignment.objectives.objective import Objective
from rba.alignment.prepare import model_mark
from rba.alignment.rollout import MARK, Reward
from rba.alignment.settings import AlignSettings
from rba.alignment.variants import REWARDED_BY
from rba.lm.preamble import System
from rba.lm.task import TaskSettings
from rba.rewards.custom import code_hashes
from rba.workspace import fingerprint


def reward_loader(settings: AlignSettings, teacher: str, system: System, task: TaskSettings) -> Callable[..., Reward]:
    """What makes the recipe's reward, or one with others added to it by name and weight.

    The models are loaded only if a reward needs them, each of them once for all. Judge and reward model read the task
    above the request; the teacher has it in its `system`.
    """
    from rba.lm.embedder import SentenceEmbedder
    from rba.lm.reward_model import load_reward_model
    from rba.rewards.reward import load_reward
    from rba.rewards.spec import parse_weights
    from rba.teachers.load import load_teacher

    read_by = cache(load_teacher)
    embedder = cache(partial(SentenceEmbedder, settings.embedder))
    reward_model = cache(partial(load_reward_model, settings.reward_model, settings.dtype))

    def load(extra: Mapping[str, float] | None = None) -> Reward:
        weights = parse_weights(settings.reward)
        for name, weight in (extra or {}).items():
            weights[name] = weights.get(name, 0.0) + weight
        return load_reward(
            weights,
            scaling=settings.reward_scaling,
            teacher=lambda: read_by(teacher).told(system),
            embedder=embedder,
            reward_model=reward_model,
            judge=lambda: read_by(settings.judge or teacher),
            task=task,
        )

    return load


def rewards(
    objective: Objective, settings: AlignSettings, validated: bool, load: Callable[..., Reward]
) -> tuple[Reward | None, Reward | None]:
    """What ranks the objective's answers, and what values answers in validation if it is `validated`; None for none.

    `load` gives the recipe's reward, plus others by name and weight. Both are the same unless the objective adds
    rewards of its own.
    """
    extra = dict(objective.reward_terms)
    by_reward = validated and settings.validation.by == "reward"
    plain = load() if by_reward or (objective.needs_rewards and not extra) else None
    ranked = (load(extra) if extra else plain) if objective.needs_rewards else None
    return ranked, plain if by_reward else None


def reward_mark(settings: AlignSettings, objective: Objective, teacher: str, told: System) -> str:
    """What tells the rewards of the same answers apart: an edit of the user's own code, another judge, another sum."""
    facts = {key: value for key, value in config.to_tree(settings).items() if key in REWARDED_BY}
    judges = (settings.reward_model, settings.judge, settings.embedder, teacher)  # a local one may be another by now
    marks = [model_mark(name) for name in judges if name]
    extra = dict(objective.reward_terms)
    return fingerprint(facts, code_hashes(settings.reward), told, marks, extra)[:MARK]
