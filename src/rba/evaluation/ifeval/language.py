"""Which language a text is in."""

from __future__ import annotations

from rba.errors import RecipeError


def is_language(text: str, language: str) -> bool:
    """Whether `text` is in this language (ISO 639-1), in the eyes of py3langid; letters' case does not matter.

    A text without letters is in every language, as in the published check.
    Raises RecipeError where that package is not installed.
    """
    try:
        import py3langid
    except ImportError as error:
        fix = 'pip install "rba[benchmarks]"'
        raise RecipeError("IFEval needs py3langid to tell languages", "format ifeval", fix) from error
    if not any(char.isalpha() for char in text):
        return True
    return bool(py3langid.classify(text.lower())[0] == language.partition("-")[0])
