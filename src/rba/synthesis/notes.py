"""What the synthesis stage records about its yield: why requests were dropped, shares, lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rba.synthesis.candidate import Candidate
from rba.synthesis.tags import DIFFICULTIES, PAPER_DIFFICULTY_SHARES, PAPER_TOPIC_SHARES, TOPICS

EXAMPLES = 3


def summary(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Notes by key: attempts, kept, dropped (with examples), splits, topics, difficulties, words, answer_words."""
    kept = [c for c in candidates if not c.reason]
    return {
        "attempts": len(candidates),
        "kept": len(kept),
        "dropped": dropped(candidates),
        "dropped_examples": _dropped_examples(candidates),
        "splits": dict(Counter(c.split for c in kept)),
        "topics": beside_paper((c.topic for c in kept), TOPICS, PAPER_TOPIC_SHARES),
        "difficulties": beside_paper((c.difficulty for c in kept), DIFFICULTIES, PAPER_DIFFICULTY_SHARES),
        "words": spread([len(c.text.split()) for c in kept]),
        "answer_words": spread([len(c.response.split()) for c in kept]),
        "seeded_openers": round(sum(bool(c.opener) for c in kept) / max(len(kept), 1), 4),
    }


def dropped(candidates: Iterable[Candidate]) -> dict[str, int]:
    """How many candidates were dropped for each reason, the most frequent first."""
    return dict(Counter(c.reason for c in candidates if c.reason).most_common())


def beside_paper(
    labels: Iterable[str], names: Sequence[str], paper: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Per label its count, its share, and the paper's share."""
    counts = Counter(labels)
    total = max(sum(counts.values()), 1)
    return {n: {"count": counts[n], "share": round(counts[n] / total, 4), "paper": paper[n]} for n in names}


def spread(values: Sequence[int]) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum; zeros without values."""
    data = np.array(values or [0])
    middle, high = np.percentile(data, [50, 95])
    figures = {"mean": data.mean(), "median": middle, "p95": high, "max": data.max()}
    return {name: round(float(value), 2) for name, value in figures.items()}


def _dropped_examples(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for candidate in candidates:
        if candidate.reason and len(found.setdefault(candidate.reason, [])) < EXAMPLES:
            found[candidate.reason].append(candidate.text[:160])
    return found
