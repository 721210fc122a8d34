"""The 25 kinds of verifiable instruction, by IFEval's names: `CHECKS[name](answer, **kwargs)` says if one is followed.

They follow the published definitions; sentences and words are split here, without downloaded models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from rba.evaluation.ifeval import forms
from rba.evaluation.ifeval.language import is_language
from rba.evaluation.ifeval.text import related, sentences, tokens, words

Check = Callable[..., bool]


def keywords_exist(answer: str, keywords: list[str], **_: Any) -> bool:
    """Every keyword occurs."""
    return all(re.search(re.escape(word), answer, re.IGNORECASE) for word in keywords)


def keyword_frequency(answer: str, keyword: str, frequency: int, relation: str, **_: Any) -> bool:
    """A keyword occurs at least, or less than, so often."""
    return related(len(re.findall(re.escape(keyword.strip()), answer, re.IGNORECASE)), relation, frequency)


def forbidden_words(answer: str, forbidden_words: list[str], **_: Any) -> bool:
    """None of the words occurs as a word."""
    return not any(re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(answer: str, letter: str, let_frequency: int, let_relation: str, **_: Any) -> bool:
    """A letter, in either case, occurs at least, or less than, so often."""
    return related(answer.lower().count(letter.lower()), let_relation, let_frequency)


def response_language(answer: str, language: str, **_: Any) -> bool:
    """The whole answer is in this language (ISO 639-1)."""
    return is_language(answer, language)


def number_sentences(answer: str, num_sentences: int, relation: str, **_: Any) -> bool:
    """The answer has at least, or less than, so many sentences."""
    return related(len(sentences(answer)), relation, num_sentences)


def number_words(answer: str, num_words: int, relation: str, **_: Any) -> bool:
    """The answer has at least, or less than, so many words."""
    return related(len(words(answer)), relation, num_words)


def capital_word_frequency(answer: str, capital_frequency: int, capital_relation: str, **_: Any) -> bool:
    """At least, or less than, so many words are in capitals."""
    return related(sum(token.isupper() for token in tokens(answer)), capital_relation, capital_frequency)


def english_capital(answer: str, **_: Any) -> bool:
    """English, in capitals only."""
    return answer.isupper() and is_language(answer, "en")


def english_lowercase(answer: str, **_: Any) -> bool:
    """English, without a capital."""
    return answer.islower() and is_language(answer, "en")


def no_comma(answer: str, **_: Any) -> bool:
    """There is no comma."""
    return "," not in answer


def repeat_prompt(answer: str, prompt_to_repeat: str, **_: Any) -> bool:
    """The answer begins with the request, word for word."""
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_phrase(answer: str, end_phrase: str, **_: Any) -> bool:
    """The answer ends with this phrase."""
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def json_format(answer: str, **_: Any) -> bool:
    """The whole answer is JSON; a code fence around it is allowed."""
    body = re.sub(r"^```(?:json)?|```\Z", "", answer.strip(), flags=re.IGNORECASE)
    try:
        json.loads(body.strip())
    except (ValueError, RecursionError):
        return False
    return True


OF_LANGUAGE = frozenset({"language:response_language", "change_case:english_capital", "change_case:english_lowercase"})
"""The checks that ask which language a text is in."""

CHECKS: dict[str, Check] = {
    "keywords:existence": keywords_exist,
    "keywords:frequency": keyword_frequency,
    "keywords:forbidden_words": forbidden_words,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": response_language,
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:number_paragraphs": forms.number_paragraphs,
    "length_constraints:number_words": number_words,
    "length_constraints:nth_paragraph_first_word": forms.nth_paragraph_first_word,
    "detectable_content:number_placeholders": forms.number_placeholders,
    "detectable_content:postscript": forms.postscript,
    "detectable_format:number_bullet_lists": forms.number_bullets,
    "detectable_format:constrained_response": forms.constrained_response,
    "detectable_format:number_highlighted_sections": forms.number_highlights,
    "detectable_format:multiple_sections": forms.multiple_sections,
    "detectable_format:json_format": json_format,
    "detectable_format:title": forms.title,
    "combination:two_responses": forms.two_responses,
    "combination:repeat_prompt": repeat_prompt,
    "startend:end_checker": end_phrase,
    "startend:quotation": forms.quotation,
    "change_case:capital_word_frequency": capital_word_frequency,
    "change_case:english_capital": english_capital,
    "change_case:english_lowercase": english_lowercase,
    "punctuation:no_comma": no_comma,
}
