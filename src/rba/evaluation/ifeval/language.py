"""Which language a text is in."""

from __future__ import annotations

from collections.abc import Callable

from rba.errors import RecipeError


def is_language(text: str, language: str) -> bool:
    """Whether `text` is in this language (ISO 639-1), in the eyes of py3langid; letters' case does not matter.

    A text without letters is in every language, as in the published check.
    Raises RecipeError where that package is not installed.
    """
    classify = classifier()
    if not any(char.isalpha() for char in text):
        return True
    return bool(classify(text.lower())[0] == language.partition("-")[0])


def classifier() -> Callable[[str], tuple[str, float]]:
    """What tells the language of a text, and how surely. Raises RecipeError where py3langid is not installed."""
    try:
        import py3langid
    except ImportError as error:
        fix = 'pip install "rba[benchmarks]"'
        raise RecipeError("IFEval needs py3langid to tell languages", "format ifeval", fix) from error
    classify: Callable[[str], tuple[str, float]] = py3langid.classify
    return classify
