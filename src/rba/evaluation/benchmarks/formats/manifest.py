"""The plain layout: rows with a question, its answers and a clip, under the names that most sets use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rba.document import parse_json
from rba.errors import DataError
from rba.evaluation.benchmarks import sources
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings

_TEXT = ("text", "question", "prompt", "instruction", "Question", "Questions", "sentence")
_ANSWERS = ("answers", "answer", "reference", "references", "Answer", "output", "target")
_ID = ("id", "key", "question_id", "QuestionId")


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item a row, numbered where rows have no id. Raises DataError for a row without a question."""
    folder = sources.folder_of(settings)
    for number, (where, row) in enumerate(sources.records(settings)):
        text = sources.first(row, *_TEXT)
        if not isinstance(text, str):
            raise DataError("a row has no question", where, f"name its column one of {', '.join(_TEXT)}")
        passage = sources.first(row, "context", "passage")
        yield Item(
            sources.id_of(row, number, *_ID),
            text,
            answers_of(sources.first(row, *_ANSWERS)),
            sources.clip(sources.first(row, "audio", "path", "file"), folder, where),
            passage if isinstance(passage, str) else "",
            dict(row),
            where,
        )


def answers_of(value: Any) -> tuple[str, ...]:
    """The accepted answers in a text, a list, or a mapping such as SQuAD's {"text": [...]} or TriviaQA's aliases.

    A text may be the JSON of a list or mapping, as cells of a table have it.
    """
    found = _texts(_unfolded(value) if isinstance(value, str) else value)
    return tuple(dict.fromkeys(text for text in found if text.strip()))


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict):
        keys = ("text", "value", "Value", "aliases", "Aliases", "normalized_aliases", "NormalizedAliases")
        return [text for key in keys for text in _texts(value.get(key))]
    if isinstance(value, list | tuple):
        return [text for one in value for text in _texts(one)]
    return [str(value)]


def _unfolded(text: str) -> Any:
    """The list or mapping that a text is the JSON of, else the text."""
    try:
        found = parse_json(text) if text.lstrip()[:1] in ("[", "{") else None
    except ValueError:
        found = None
    return found if isinstance(found, list | dict) else text
