"""Training curves: one panel per logged value, all methods in it, whatever values a run happened to log."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from rba.report import names
from rba.report.charts import Line, line_chart
from rba.report.plots import Panel

_STEPS = ("step", "update", "updates", "iteration", "round")
_KINDS = ("event", "kind", "phase", "split")
_SKIPPED = frozenset({"time", "stage", "epoch", "seconds", "elapsed", "method", *_STEPS, *_KINDS})

Series = dict[str, dict[str, dict[float, float]]]
Known = tuple[tuple[str, str, str], ...]

KNOWN: Known = (
    (r"(train/)?loss", "Loss", "what is minimised: the sum of its weighted terms"),
    (r"loss/preference", "Preference loss", "ln 2 = 0.69 where neither answer is preferred"),
    (r"loss/(ce|cross_entropy)", "Cross-entropy term", "on the teacher's answer, with its weight"),
    (r"loss/.+", "", "a term of the loss, with its weight"),
    (r"ce", "Cross-entropy", "on the teacher's answer, nats a token"),
    (r"reward", "Reward", "mean over the model's own answers"),
    (r"rewards/.+/(mean|std|length_correlation)", "", "a part of the reward, before scaling and weight"),
    (r"(rewards/)?margins?", "Margin", "chosen over rejected, log-probs times beta"),
    (r"(rewards/)?accurac(y|ies)", "Preference accuracy", "share of pairs whose chosen answer is the likelier"),
    (r"(.*/)?(lr|learning_rate)", "Learning rate", "the schedule times its multiplier"),
    (r"(.*lr.*|.*)(multiplier|scale|factor)", "Learning-rate multiplier", "backs off when the policy drifts"),
    (r"teacher/divergence.*", "", "from the teacher that reads, nats a token"),
    (r"kl/samples", "KL on own answers", "policy from reference, nats a token"),
    (r".*(kl|drift|divergence).*", "Drift", "divergence from the reference, nats a token"),
    (r"validation/score", "Validation score", "picks the checkpoint; held-out requests and voices"),
    (r"validation/logp", "Validation log-prob", "of the teacher's answer, nats a token"),
    (r"completions/mean_length", "Answer length", "of the model's own answers, tokens"),
    (r".*wer.*", "Word error rate", "of what the connector reads, on held-out speech"),
)
"""Patterns of logged names in the order of their panels: (pattern, title or "" for the name itself, what it is)."""

HEALTH: Known = (
    (r"grad_norm", "Gradient norm", "before clipping"),
    (r"entropy", "Entropy", "of the policy when it drew its answers, nats a token"),
    (r"reward_std", "Reward spread", "standard deviation over an update's answers"),
    (r"reward_group_std", "Reward spread in a group", "standard deviation over an instruction's answers, mean"),
    (r"frac_reward_zero_std", "Groups without spread", "share of instructions whose answers all earn the same"),
    (r"reward_missing", "Answers without a reward", "share of the model's own answers"),
    (r"pairs/dropped", "Without a pair", "share of what could have made a preference pair"),
    (r"pairs/live", "Live pairs", "share of its full gradient that a pair still gives"),
    (r"logps/chosen", "Chosen answers", "log-prob, nats"),
    (r"logps/rejected", "Rejected answers", "log-prob, nats"),
    (r"completions/clipped_ratio", "Answers cut off", "share of own answers that did not end by themselves"),
    (r"completions/deaf", "Answers of the deaf", "share of own answers that say they did not hear"),
    (r"sampling/sampling_logp_difference/mean", "Scoring against drawing", "of a token's log-prob, nats"),
    (r"clip_ratio/region_mean", "Clipped tokens", "share whose gradient the clip cut off"),
    (r"tokens_per_second", "Tokens a second", "scored, prompts included, by all processes"),
    (r"matmul_utilisation", "Matmul utilisation", "FLOPs an update needs over those of plain products in its time"),
)
"""The same of what tells whether training runs as it should."""


TITLES = {"connect": "Connector"}
"""Stages that are not called after what they train."""


@dataclass(frozen=True)
class Group:
    """The panels of one kind of training: alignment, its health, or the connector; `more` are of lesser interest."""

    title: str
    panels: list[Panel]
    more: list[Panel]


def groups(records: Sequence[dict[str, Any]]) -> list[Group]:
    """The charts of all stages that logged numbers; alignment methods share their panels."""
    stages = list(dict.fromkeys(str(r.get("stage")) for r in records if r.get("stage") not in (None, "run")))
    aligned = sorted((s for s in stages if s.startswith("align/")), key=lambda s: names.model_order(s[6:]))
    series = _series(aligned, records)
    health = {key: lines for key, lines in series.items() if _rank(key, HEALTH) < len(HEALTH)}
    made = [
        _group("Alignment", {key: lines for key, lines in series.items() if key not in health}, KNOWN),
        _group("Health of the training", health, HEALTH),
    ]
    others = [s for s in stages if s not in aligned]
    made += [_group(TITLES.get(s, names.plain(s)), _series([s], records), KNOWN) for s in others]
    return [group for group in made if group.panels or group.more]


def _series(stages: Sequence[str], records: Sequence[dict[str, Any]]) -> Series:
    """The points of every logged value, by its name and stage."""
    series: Series = {}
    for stage in stages:
        for place, record in enumerate(r for r in records if r.get("stage") == stage):
            x = next((float(record[k]) for k in _STEPS if _is_number(record.get(k))), float(place))
            for key, value in _numbers(record).items():
                # a resumed stage logs some steps again: the later record is the one that counted
                series.setdefault(key, {}).setdefault(stage, {})[x] = value
    return series


def _group(title: str, series: Series, known: Known) -> Group:
    ranked = sorted(series, key=lambda key: (_rank(key, known), list(series).index(key)))
    shown = [k for k in ranked if _rank(k, known) < len(known) and _varies(series[k])]
    rest = [k for k in ranked if k not in shown]
    return Group(title, *([_panel(k, series[k], known) for k in keys] for keys in (shown, rest)))


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    """The values of a record by name; those of a validation carry its name, nested ones the path to them."""
    kind = next((record[k] for k in _KINDS if isinstance(record.get(k), str)), "train")
    prefix = "" if kind == "train" else f"{kind}/"
    found = {}
    for key, value in record.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for name, number in inner:
            if key not in _SKIPPED and _is_number(number):
                found[prefix + (f"{key}/{name}" if name else key)] = float(number)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rank(key: str, known: Known) -> int:
    return next((i for i, (pattern, _, _) in enumerate(known) if re.fullmatch(pattern, key.lower())), len(known))


def _varies(stages: dict[str, dict[float, float]]) -> bool:
    """Whether a value says anything: a constant is no curve."""
    return len({y for points in stages.values() for y in points.values()}) > 1


def _panel(key: str, stages: dict[str, dict[float, float]], known: Known) -> Panel:
    rank = _rank(key, known)
    title, note = (known[rank][1], known[rank][2]) if rank < len(known) else ("", "")
    lines = []
    for stage, points in stages.items():
        method = stage.removeprefix("align/")
        name = names.model_name(method) if stage.startswith("align/") else ""
        lines.append(Line(name, sorted(points.items()), names.model_class(method) if name else "m-one"))
    title = title or names.plain(key)
    return Panel(title, note, Markup(line_chart(lines, title)))
