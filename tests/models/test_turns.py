"""One turn in any chat template: parts or plain text, with and without a system turn, typed and spoken."""

from __future__ import annotations

from typing import Any

import pytest

from rba.errors import ModelError
from rba.lm.preamble import Example, Preamble
from rba.models import turns
from rba.testing.tiny_audio_lm import AUDIO_TEMPLATE, tiny_audio_tokenizer

START, END = (
    "{% for m in messages %}[{{ m['role'] }}]",
    "[end]{% endfor %}{% if add_generation_prompt %}[go]{% endif %}",
)
PARTS = (
    "{% for p in m['content'] %}{% if p['type'] == 'audio' %}<|audio|>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
)
TEMPLATES = {
    "parts or text": AUDIO_TEMPLATE,
    "parts only": START + PARTS + END,
    "text only, printed": START + "{{ m['content'] }}" + END,
    "text only, added up": START + "{{ '' + m['content'] }}" + END,
    "parts for the user alone": START
    + "{% if m['role'] == 'user' %}" + PARTS + "{% else %}{{ m['content'] }}{% endif %}" + END,
}  # fmt: skip


def tokenizer(template: str) -> Any:
    made = tiny_audio_tokenizer()
    made.chat_template = template
    return made


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_typed_and_spoken_turns_have_the_same_frame(name: str, system: str | None):
    made = tokenizer(TEMPLATES[name])
    typed = turns.render(made, "the words", system)
    spoken = turns.render(made, turns.AUDIO, system, "<|audio|>")
    frame = spoken.replace("<|audio_start|><|audio|><|audio_end|>", "<|audio|>")
    assert typed.replace("the words", "<|audio|>") == frame
    assert "type" not in typed + spoken
    assert ("Be brief." in spoken) == (system is not None)


@pytest.mark.parametrize("name", TEMPLATES)
def test_typed_ids_are_those_of_the_whole_text(name: str):
    made = tokenizer(TEMPLATES[name])
    assert turns.typed_ids(made, "hello") == made(turns.render(made, "hello", None))["input_ids"]


def test_a_template_that_writes_its_own_beginning_gets_no_second_one():
    made = tokenizer("<|endoftext|>" + TEMPLATES["parts only"])
    made.bos_token = "<|endoftext|>"
    assert turns.starts_whole(made, turns.render(made, "hello", None))
    assert turns.typed_ids(made, "hello").count(made.bos_token_id) == 1


@pytest.mark.parametrize("words", ["hello", turns.AUDIO])
def test_a_template_that_drops_the_system_turn_is_refused(words: str):
    made = tokenizer(
        TEMPLATES["parts only"].replace("[{{ m['role'] }}]", "{% if m['role'] == 'system' %}{% continue %}{% endif %}")
    )
    assert turns.render(made, words, None, "<|audio|>")
    with pytest.raises(ModelError, match="after the turns before it"):
        turns.render(made, words, "Be brief.", "<|audio|>")


@pytest.mark.parametrize("name", TEMPLATES)
def test_examples_stand_before_the_words(name: str):
    shown = Preamble("Be brief.", (Example("a question", "an answer"),))
    text = turns.render(tokenizer(TEMPLATES[name]), "the words", shown)
    places = [text.index(piece) for piece in ("Be brief.", "a question", "an answer", "the words")]
    assert places == sorted(places) and "type" not in text


def test_without_an_end_token_in_the_template_none_is_found():
    assert turns.turn_end(tokenizer(TEMPLATES["parts only"])) is None
    assert turns.turn_end(tokenizer(AUDIO_TEMPLATE)) == 2
