"""A recipe at a handful of items: the same path, little of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST: dict[str, Any] = {
    "synthesis": {"train": 6, "validation": 2, "test": 2},
    "speech": {"voices": 2, "gate_retries": 1},
    "connect": {
        "corpus": {"self_synthesised": 8, "templated": 8, "renderings": 1, "held_out": 2},
        "ctc": {"width": 16, "layers": 1, "passes": 1.0},
        "distill": {"updates": 1, "batch": 2, "max_response": 16},
    },
    "align": {
        "instructions": 6,
        "voices": 2,
        "steps": 2,
        "groups_per_step": 2,
        "round_steps": 1,
        "answers": 2,
        "max_response": 16,
        "sample": {"max_new_tokens": 6},
        "validation": {"every": 1, "groups": 2},
        "adaptive": {"drift_every": 1, "drift_answers": 2},
    },
    "evaluate": {
        "instructions": 2,
        "voices": 2,
        "answer": {"max_new_tokens": 6},
        "again": {"max_new_tokens": 6},
        "teacher_again": 2,
        "slow_judge_instructions": 2,
        "conditions": {"instructions": 1, "voices": 1},
        "resamples": 100,
    },
}
"""No more than this of a number; one that is less stays, among them 0 where it means none."""

WORKERS = {"count": 2, "cpus": 0.5, "gpus": 0.0}
"""Of a stage on Ray: a single core has room for them."""

SET: dict[str, Any] = {
    # what a tiny teacher writes is not to be judged: lengths and likeness keep nothing out
    "synthesis": {
        **{"min_words": 1, "max_words": 1000, "max_chars": 10_000, "max_answer_words": 0, "query_tokens": 96},
        **{"near_duplicate": 0.0, "split_distance": 0.0, "batch": 6, "shard_size": 12, "attempts": 10.0},
        "answer": {"max_new_tokens": 48},
    },
    "speech": {"workers": 1, "gate_wer": 1e6},
    "connect": {"workers": 1, "ctc": {"average": 0.0}, "checkpoint_minutes": 0.0},
    "align": {"dtype": "float32", "checkpoint_minutes": 0.0},  # a state is written after every update
    "evaluate": {"dtype": "float32"},
    "ray": {"address": "local", "synthesis": WORKERS, "speech": WORKERS},
}
"""What a handful of items on this machine needs."""


def capped(tree: Mapping[str, Any], most: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with no number above the one that `most` has in its place; nothing is added."""
    result = dict(tree)
    for key in most.keys() & tree.keys():
        limit, value = most[key], tree[key]
        result[key] = capped(value, limit) if isinstance(limit, Mapping) else min(value, limit)
    return result


def with_values(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with the `values` of the keys that it has; nothing is added."""
    result = dict(tree)
    for key in values.keys() & tree.keys():
        nested = isinstance(values[key], Mapping)
        result[key] = with_values(tree[key], values[key]) if nested else values[key]
    return result


def small(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's tree at a handful of items; its variants, which hold only what they change, likewise."""
    result = with_values(capped(tree, MOST), SET)
    align, evaluate = result["align"], result["evaluate"]
    variants = {
        name: with_values(capped(changes, MOST["align"]), SET["align"]) for name, changes in align["variants"].items()
    }
    benchmarks = [{**one, "items": min(one["items"] or 2, 2), "max_new_tokens": 6} for one in evaluate["benchmarks"]]
    return {
        **result,
        "align": {**align, "variants": variants},
        "evaluate": {**evaluate, "benchmarks": benchmarks},
    }
