"""Judges: which of two answers to a request is better?

    judge = load_judge("recall")
    judge.prefer("Capital of Australia?", "Canberra.", "Sydney.", "It is Canberra.")      # 1.0

The judges of this file score each answer by itself, so that the order of the two cannot sway them; those that read both
("pairwise", "letter") may be swayed, so win rates are taken in both orders. How often they are right:

    judge        48 hand-made pairs    AlpacaEval: GPT-4's preferences (benchmarks/judges.py)
                 (judge_accuracy)      all pairs    as long    order of 52 models (Spearman)
    recall       0.89 [0.77, 0.95]     0.74         0.58       0.75
    similarity   0.79 [0.66, 0.88]     0.57         0.46       0.56          on 100 instructions
    likelihood   0.29 [0.18, 0.43]     -            -          -             SmolLM2-135M as teacher
    letter       0.65 [0.50, 0.77]     -            -          -             SmolLM2-135M as judge
    (length)     0.33                  0.78         0.53       0.63          for comparison: the longer answer wins

"recall" is the default. It does not see a wrong fact in a sentence that is otherwise the reference's (2.5 of 8 such
pairs), nor does "similarity" (3 of 8); "letter" does (7 of 8), and likes empty chatter (1 of 8). The mean log-prob of a
small teacher likes fluent emptiness and repetition: as a judge it is worse than chance, and worth a look only beside
another, with a strong teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from rba.errors import RecipeError
from rba.evaluation.letter import LetterJudge
from rba.evaluation.pairwise import PairJudge
from rba.evaluation.settings import JUDGES
from rba.lm.task import NO_TASK, TaskSettings
from rba.rewards.reward import Reward, load_reward

TIE = 1e-6


class Judge(Protocol):
    """What win rates call. `needs_reference` says whether it compares with a reference answer."""

    name: str
    needs_reference: bool

    def prepare(
        self, texts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str], references: Sequence[str]
    ) -> None:
        """Told all pairs beforehand, a judge may see to them in one batch."""
        ...

    def prefer(self, text: str, answer_a: str, answer_b: str, reference: str) -> float | None:
        """How surely answer_a is the better one, in [0, 1]; 0.5 is a tie, None if it cannot be said."""
        ...


class ScoreJudge:
    """Prefers the answer with the higher reward: 1 or 0, and 0.5 where they differ by less than 1e-6."""

    def __init__(self, reward: Reward, needs_reference: bool = True):
        self.reward, self.name, self.needs_reference = reward, reward.name, needs_reference
        self._scores: dict[tuple[str, str, str], float | None] = {}

    def prepare(
        self, texts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str], references: Sequence[str]
    ) -> None:
        """Score the answers that are new, in one batch."""
        keys = dict.fromkeys(map(self._key, [*texts, *texts], [*answers_a, *answers_b], [*references, *references]))
        new = [key for key in keys if key not in self._scores]
        if new:
            prompts, completions, wanted = (list(column) for column in zip(*new))
            self._scores |= zip(new, self.reward(prompts, completions, reference=wanted))

    def prefer(self, text: str, answer_a: str, answer_b: str, reference: str) -> float | None:
        """1, 0.5 or 0 by the sign of score(a) - score(b); None where either has no score."""
        self.prepare([text], [answer_a], [answer_b], [reference])
        a, b = (self._scores[self._key(text, answer, reference)] for answer in (answer_a, answer_b))
        if a is None or b is None:
            return None
        return 0.5 if abs(a - b) < TIE else float(a > b)

    def _key(self, text: str, answer: str, reference: str) -> tuple[str, str, str]:
        return text, answer, reference if self.needs_reference else ""


def load_judge(
    name: str,
    *,
    teacher: Any | Callable[[], Any] = None,
    embedder: Any | Callable[[], Any] = None,
    judge: Any | Callable[[], Any] = None,
    reward_model: Any | Callable[[], Any] = None,
    task: TaskSettings = NO_TASK,
    kept: Path | None = None,
    mark: str = "",
) -> Judge:
    """The judge `name` of `JUDGES`; the models themselves or what loads them.

    "recall" is reference-word recall with its length penalty, "similarity" the cosine to the reference, "likelihood"
    the teacher's mean log-prob of the answer; "pairwise" reads what the LLM `judge` replies, "letter" how likely it is
    to reply A rather than B, both told the `task`; what they said is kept in the folder `kept`, if given, for the LLM
    that `mark` identifies. "reward-model" is the score that the model of that name gives, told the task, too. These
    four need no reference. "bleu", "bleu-zh", "bleu-char" and "chrf" are the rewards of that name. Raises RecipeError
    for an unknown name.
    """
    if name not in JUDGES:
        raise RecipeError("unknown judge", name, f"choose from {', '.join(JUDGES)}")
    if name == "pairwise":
        return PairJudge(judge, task, kept, mark)
    if name == "letter":
        return LetterJudge(judge, task, kept, mark)
    reward = load_reward(name, teacher=teacher, embedder=embedder, reward_model=reward_model, task=task)
    return ScoreJudge(reward, needs_reference=name not in ("likelihood", "reward-model"))
