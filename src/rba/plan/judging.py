"""What rewards and judges that run a model cost; those that read words alone, or embed them, are not counted."""

from __future__ import annotations

from rba.plan.basis import Basis
from rba.plan.drawing import drawing, reading
from rba.plan.item import Item, Part
from rba.rewards.spec import parse_weights
from rba.services.service import is_service

VERDICT = 4
"""Tokens of a written verdict."""
LETTER = 2
"""Tokens of a letter that is only read, with the end of its turn."""
QUESTION = 130
"""Tokens of the question around what is to be judged: `rba.evaluation.pairwise.PROMPT` in SmolLM2's tokens."""


def reward_items(basis: Basis, count: float, answer: int, what: str) -> list[Item]:
    """An item for every part of `align.reward` that runs a model, over `count` answers of `answer` tokens."""
    settings, typed = basis.recipe.align, basis.lengths.typed()
    judge, teacher = settings.judge or basis.recipe.teacher, basis.recipe.teacher
    found = []
    for name in parse_weights(settings.reward):
        said = f"{what} ({name})"
        if name == "reward-model":
            found.append(scores(basis, said, settings.reward_model, count, answer))
        elif name in ("likelihood", "likelihood-sum", "judge-likelihood"):
            reader = judge if name.startswith("judge") else teacher
            decoder = basis.text_lm(reader)
            read = reading(decoder, count, typed, answer) if decoder else None
            found.append(basis.work(said, reader, count, typed + answer, 0, read))
        elif name == "judge":
            found.append(verdicts(basis, said, judge, count, QUESTION + typed + 2 * answer))
    return found


def scores(basis: Basis, what: str, model: str, count: float, answer: int) -> Item:
    """A reward model's scores of answers of `answer` tokens."""
    shape, typed = basis.shapes.find(model, "reward"), basis.lengths.typed()
    passes = reading(shape.decoder, count, typed, answer, head=False) if shape and shape.decoder else None
    return basis.work(what, model, count, typed + answer, 0, passes)


def verdicts(basis: Basis, what: str, judge: str, count: float, prompt: int) -> Item:
    """Written verdicts of an LLM."""
    decoder, batch = basis.text_lm(judge), basis.batch(judge, 32)
    size = (count, prompt, VERDICT)
    return basis.work(what, judge, *size, drawing(decoder, *size, batch) if decoder else None)


def letters(basis: Basis, what: str, judge: str, count: float, prompt: int) -> Item:
    """`count` letters read after questions, two to each: a local LLM reads a question once for both."""
    decoder, group = basis.text_lm(judge), 1 if is_service(judge) else 2
    passes = reading(decoder, count, prompt, LETTER, group=group) if decoder else None
    return basis.work(what, judge, count, prompt / group + LETTER, 0, passes)


def reward_memory(basis: Basis) -> tuple[Part, ...]:
    """The models that a reward keeps in memory beside the policy."""
    settings, parts = basis.recipe.align, dict[str, Part]()
    for name in parse_weights(settings.reward):
        if name == "reward-model":
            parts |= {p.what: p for p in basis.weights(settings.reward_model, "reward model", "reward")}
        elif name in ("likelihood", "likelihood-sum"):
            parts |= {p.what: p for p in basis.weights(basis.recipe.teacher, "teacher")}
        elif name.startswith("judge"):
            parts |= {p.what: p for p in basis.weights(settings.judge or basis.recipe.teacher, "judge")}
    return tuple(parts.values())
