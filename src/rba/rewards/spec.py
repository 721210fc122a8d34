"""What a recipe's `reward` says: one name, or a weighted sum such as "recall + 0.5*similarity - deaf"."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping

from rba.errors import RecipeError

NAMES = (
    "recall",
    "similarity",
    "likelihood",
    "likelihood-sum",
    "reward-model",
    "judge",
    "judge-likelihood",
    "bleu",
    "bleu-zh",
    "bleu-char",
    "chrf",
    "exact-match",
    "contains",
    "deaf",
    "length",
    "repetition",
)
SCALINGS = ("none", "batch", "group")

_CUSTOM = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
_TERM = re.compile(rf"\s*([+-]?)\s*(?:(\d+(?:\.\d+)?)\s*\*\s*)?({_CUSTOM}|[a-z][a-z0-9-]*)\s*")


def is_custom(name: str) -> bool:
    """Whether a reward's name is that of a user's own function, `module:function`."""
    return re.fullmatch(_CUSTOM, name) is not None


def parse_weights(spec: str | Mapping[str, float]) -> dict[str, float]:
    """The weight of each named reward. Raises RecipeError for an unreadable sum or an unknown or repeated name."""
    fix = 'write e.g. "recall + 0.5*similarity - deaf", with module:function or ' + ", ".join(NAMES)
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
    for name, weight in weights.items():
        if name not in NAMES and not is_custom(name):
            nearest = difflib.get_close_matches(name, NAMES, n=1)
            raise RecipeError("unknown reward", name, f"did you mean {nearest[0]}?" if nearest else fix)
        if not math.isfinite(weight):
            raise RecipeError("a weight is a finite number", f"{name}: {weight}", fix)
    if not any(weights.values()):
        raise RecipeError("no reward given", str(spec), fix)
    return weights
