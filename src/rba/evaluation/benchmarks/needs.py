"""What a scorer needs of items, checked before any model is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rba.errors import DataError
from rba.evaluation.benchmarks import choice
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.ifeval.checks import OF_LANGUAGE
from rba.evaluation.ifeval.language import classifier

_NEEDS: dict[str, tuple[Callable[[Item], bool], str, str]] = {
    "choice": (lambda i: bool(choice.key(i)), "a letter from A to H, yes or no as the answer", "write it so"),
    "ifeval": (
        lambda i: isinstance(i.facts.get("checks"), list) and isinstance(i.facts.get("kwargs"), list),
        "checks of IFEval",
        "use format: ifeval, whose rows have instruction_id_list and kwargs",
    ),
    "asr": (
        lambda i: bool(i.references),
        "a transcript as the answer",
        "add it, or use format: librispeech, which takes the text for it",
    ),
    "translation": (lambda i: bool(i.references), "a translation as the answer", "add it, or use another format"),
}


def check(name: str, scorer: str, items: Sequence[Item]) -> None:
    """Raise DataError where items of the benchmark `name` lack what their scorer reads, RecipeError where it lacks a
    package itself.

    Some questions of `qa` may go without an answer, as those of SQuAD 2 do, but not all of them.
    """
    if scorer == "qa" and not any(item.references for item in items):
        fix = "name their column answers, or use another format or scorer"
        raise DataError("scorer qa needs answers, and no item has one", f"benchmark {name}", fix)
    if scorer not in _NEEDS:
        return
    good, what, fix = _NEEDS[scorer]
    if lacking := [item for item in items if not good(item)]:
        told = f"scorer {scorer} needs {what}, which {len(lacking)} of {len(items)} items lack"
        first = f"benchmark {name}, first item {lacking[0].id}, {lacking[0].where}"
        raise DataError(told, first, f"{fix}, or choose another scorer")
    if scorer == "ifeval" and any(OF_LANGUAGE & set(item.facts["checks"]) for item in items):
        classifier()
