"""A weighted sum of rewards, with the failure of a part as data: the sample goes without, and is counted."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Any

from rba.errors import RbaError, RefusalError
from rba.rewards.calls import call_all
from rba.rewards.scaling import z_scores
from rba.rewards.spec import SCALINGS

if TYPE_CHECKING:
    from rba.rewards.reward import Reward

LARGEST = 3.4e38
"""What float32, in which training reckons, can hold: a number further from 0 is as good as infinite."""

_ROWS = ("prompts", "completion_ids", "reference")
"""Arguments of one value a completion, whatever sequence they come in."""


class WeightedReward:
    """A weighted sum of rewards; None wherever a part is None, not finite or fails. `dropped` counts why.

    A part is a reward, or any function of TRL's signature, sync or async; all are called with keywords, each with lists
    of its own. A part that raises on a batch is tried on each completion alone; one that raises on all of several is
    broken: its error is raised. So is, at once, an error that the user can mend (`rba.errors`), such as a server that
    is gone; a served model's refusal of one request is that completion's. One of weight 0 is only watched: it is scored
    and kept, and neither adds to the sum nor drops a sample. `scaling` makes z-scores of each part before its weight:
    over the "batch" of a call, over the "group" of answers to one prompt in it, or "none". Of the last call,
    `parts_values` holds what each part gave, unscaled, by name, and `reasons` for each completion why it has no value,
    part by part.
    """

    def __init__(self, parts: Sequence[tuple[Reward | Callable[..., Any], float]], scaling: str = "none"):
        if scaling not in SCALINGS:
            raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, not {scaling!r}")
        self.parts = {_name(reward): (reward, weight) for reward, weight in parts}
        if len(self.parts) < len(parts):
            raise ValueError(f"two rewards have the same name among {', '.join(_name(r) for r, _ in parts)}")
        self.scaling = scaling
        terms = ((name, weight) for name, (_, weight) in self.parts.items())
        self.name = " + ".join(name if weight == 1 else f"{weight:g}*{name}" for name, weight in terms)
        self.dropped: Counter[str] = Counter()
        self.parts_values: dict[str, list[float | None]] = {}
        self.reasons: list[list[str]] = []

    @property
    def signatures(self) -> dict[str, str]:
        """How parts that have several conventions computed their values, such as sacrebleu's signature of "bleu"."""
        found = {name: getattr(reward, "signature", "") for name, (reward, _) in self.parts.items()}
        return {name: signature for name, signature in found.items() if signature}

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str],
        **columns: Any,
    ) -> list[float | None]:
        """One value per completion. Raises ValueError for a list of arguments of another length than theirs."""
        batch: dict[str, Any] = {
            "prompts": list(prompts),
            "completions": list(completions),
            "completion_ids": completion_ids,
        }
        batch |= {"reference": reference, **columns}
        count = len(completions)
        _check_lengths(batch, count)
        found = call_all([partial(reward, **_own(batch)) for reward, _ in self.parts.values()])
        total: list[float | None] = [0.0] * count
        self.parts_values, self.reasons = {}, [[] for _ in completions]
        for (name, (reward, weight)), outcome in zip(self.parts.items(), found):
            given = _one_by_one_if_failed(name, reward, outcome, batch, count)
            checked = [_checked(value) for value in given]
            values = [number for number, _ in checked]
            self.parts_values[name] = values
            if weight:
                for reasons, (_, why) in zip(self.reasons, checked):
                    reasons += [f"{name}: {why}"] if why else []
                terms = self._scaled(values, prompts)
                total = [None if t is None or v is None else t + weight * v for t, v in zip(total, terms)]
        self.dropped.update(why for reasons in self.reasons for why in reasons)
        return total

    def _scaled(self, values: list[float | None], prompts: Sequence[str]) -> list[float | None]:
        if self.scaling == "none":
            return values
        return z_scores(values, prompts if self.scaling == "group" else None)


def _checked(value: Any) -> tuple[float | None, str]:
    """The value as a finite number, or None and why it is none."""
    if isinstance(value, Exception):
        return None, type(value).__name__
    if value is None:
        return None, "no value"
    try:
        number = float(value)
    except OverflowError:
        return None, "not finite"
    except (TypeError, ValueError, RuntimeError):  # the last of tensors
        return None, "not a number"
    return (number, "") if abs(number) <= LARGEST else (None, "not finite")


def _name(reward: Any) -> str:
    return str(getattr(reward, "name", "") or getattr(reward, "__name__", type(reward).__name__))


def _one_by_one_if_failed(name: str, reward: Any, outcome: Any, batch: dict[str, Any], count: int) -> list[Any]:
    """A part's values; where it failed on the whole, each completion's value alone, or the exception it raises."""
    _raise_if_mendable(outcome)
    if not isinstance(outcome, Exception):
        values = _listed(outcome)
        if values is not None and len(values) == count:
            return values
        given = f"{reprlib.repr(outcome)} and no list" if values is None else f"{len(values)} values"
        outcome = ValueError(f"{name} gave {given} for {count} completions")
    alone = call_all([partial(reward, **_row(batch, i, count)) for i in range(count)])
    _raise_if_mendable(*alone)
    values = [v if isinstance(v, Exception) else _only(v) for v in alone]
    if count > 1 and all(isinstance(v, Exception) for v in values):
        raise outcome
    return values


def _raise_if_mendable(*outcomes: Any) -> None:
    """Raise the first error that no completion is to blame for."""
    for outcome in outcomes:
        if isinstance(outcome, RbaError) and not isinstance(outcome, RefusalError):
            raise outcome


def _row(batch: dict[str, Any], i: int, count: int) -> dict[str, Any]:
    """The arguments for completion i alone; what is not one value a completion is left whole."""
    row = {k: v[i : i + 1] if isinstance(v, (list, tuple)) and len(v) == count else v for k, v in batch.items()}
    return _own(row)


def _own(batch: dict[str, Any]) -> dict[str, Any]:
    """The same in new lists, which a part may edit without others seeing it; what is no list is handed on."""
    return {key: _copied(value) if isinstance(value, list) else value for key, value in batch.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def _check_lengths(batch: dict[str, Any], count: int) -> None:
    """Raise ValueError for a column of another length; what is no list, such as TRL's `trainer_state`, is no column."""
    for name, value in batch.items():
        column = isinstance(value, list) or (name in _ROWS and isinstance(value, tuple))
        if column and len(value) != count:
            raise ValueError(f"{name} holds {len(value)} values for {count} completions")


def _only(outcome: Any) -> Any:
    values = _listed(outcome)
    if values is None or len(values) != 1:
        return ValueError(f"{'no list' if values is None else len(values)} values for one completion")
    return values[0]


def _listed(outcome: Any) -> list[Any] | None:
    """What a part gave, in order; None for what has no order, or whose items are no values of its own."""
    if isinstance(outcome, (str, bytes, Mapping, Set)):
        return None
    try:
        return list(outcome)
    except TypeError:
        return None
