"""What the paper says about its data (arXiv 2509.03526), to lay this run's beside."""

from __future__ import annotations

TOPICS = {
    "Information Seeking": 60.3,
    "Advice Seeking": 18.5,
    "Creative Writing": 12.7,
    "Planning": 4.2,
    "Reasoning": 2.8,
    "Brainstorming": 0.2,
    "Role Playing": 0.1,
    "Others": 1.2,
}
"""Per cent of instructions by topic."""

DIFFICULTIES = {"very easy": 26.1, "easy": 39.2, "medium": 28.7, "hard": 5.2, "very hard": 0.8}
"""Per cent of instructions by difficulty ("hard" is printed as 52)."""
