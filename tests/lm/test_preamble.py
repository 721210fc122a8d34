"""Preambles: a system turn and examples before the first real turn, in the model's own chat template."""

from __future__ import annotations

import pytest

from rba.errors import ModelError, RecipeError
from rba.lm import chat
from rba.lm.preamble import Example, Preamble, turns
from rba.teachers.local import LocalTeacher
from rba.testing.tiny_lm import CHAT_TEMPLATE, tiny_text_lm

EXAMPLES = (Example("What do bees make?", "Honey"), Example("What is the largest planet?", "Jupiter"))


def test_without_a_preamble_there_are_no_turns():
    assert turns(None) == turns("") == turns(Preamble()) == []


def test_a_system_turn_alone_is_a_preamble():
    assert turns("Be brief.") == turns(Preamble("Be brief.")) == [{"role": "system", "content": "Be brief."}]


def test_examples_are_user_and_assistant_turns_in_their_order():
    assert turns(Preamble(examples=EXAMPLES)) == [
        {"role": "user", "content": "What do bees make?"},
        {"role": "assistant", "content": "Honey"},
        {"role": "user", "content": "What is the largest planet?"},
        {"role": "assistant", "content": "Jupiter"},
    ]


def test_the_pre_query_header_and_a_prompt_begin_with_the_preamble():
    tokenizer = tiny_text_lm().tokenizer
    preamble = Preamble("Be brief.", EXAMPLES)
    header = tokenizer.decode(chat.prequery_ids(tokenizer, preamble))
    prompt = tokenizer.decode(chat.prompt_ids(tokenizer, "Who are you?", preamble))
    assert header.endswith("Jupiter<|im_end|>\n<|im_start|>user\n")
    assert header.index("Be brief.") < header.index("Honey") < header.index("largest planet")
    assert prompt.startswith(header + "Who are you?")


REFUSED = {
    "refuses the turns of system and user: System role not supported": (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + CHAT_TEMPLATE
    ),
    "no one place for the turn of system": CHAT_TEMPLATE.replace(
        "in messages", "in messages if message.role == 'user'"
    ),
    "no one place for the turn of user": CHAT_TEMPLATE.replace("message['content']", "2 * message['content']"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_template_that_does_not_take_a_turn_is_told_in_one_line(reason: str):
    tokenizer = tiny_text_lm().tokenizer
    tokenizer.chat_template = REFUSED[reason]
    with pytest.raises(ModelError, match=reason) as refused:
        chat.frame(tokenizer, "Be brief.")
    assert "\n" not in str(refused.value)


def test_a_template_may_trim_what_it_is_told():
    tokenizer = tiny_text_lm().tokenizer
    tokenizer.chat_template = CHAT_TEMPLATE.replace("message['content']", "message['content'].strip()")
    before, after = chat.frame(tokenizer, Preamble(" Be brief.\n", before="Say: "))
    assert tokenizer.decode(before).endswith("Say: ") and after


def test_a_teacher_answers_and_scores_under_its_preamble():
    lm = tiny_text_lm()
    plain, shown = LocalTeacher(lm), LocalTeacher(lm, system=Preamble("", EXAMPLES))
    assert plain.log_likelihood(["tea"], ["drink"]) != shown.log_likelihood(["tea"], ["drink"])


def test_an_example_without_a_turn_is_refused():
    with pytest.raises(RecipeError, match="both turns"):
        Example("What?", " ")
