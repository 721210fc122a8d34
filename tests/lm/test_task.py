"""The task of a run: one text that becomes a system turn, or a user turn around what is said."""

from __future__ import annotations

import pytest

from rba.alignment.settings import AlignSettings
from rba.errors import RecipeError
from rba.evaluation.settings import EvaluateSettings
from rba.lm import chat
from rba.lm.preamble import Example, Preamble, turns
from rba.lm.task import NO_TASK, TaskSettings, preamble_of
from rba.recipe import Recipe
from rba.teachers.local import LocalTeacher
from rba.testing.tiny_lm import tiny_text_lm

SYSTEM = TaskSettings("Translate what you hear into Spanish.", "es")
AROUND = TaskSettings("Into Spanish: {} (and nothing else)", "es")


def test_a_prompt_is_a_system_turn_or_stands_around_the_request():
    assert SYSTEM.preamble == Preamble(SYSTEM.prompt)
    assert AROUND.preamble == Preamble(before="Into Spanish: ", after=" (and nothing else)")
    assert NO_TASK.preamble == preamble_of("") == Preamble()
    assert SYSTEM.translates and not NO_TASK.translates


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        (
            SYSTEM,
            "<|im_start|>system\nTranslate what you hear into Spanish.<|im_end|>\n<|im_start|>user\nA cat.<|im_end|>",
        ),
        (AROUND, "<|im_start|>user\nInto Spanish: A cat. (and nothing else)<|im_end|>"),
    ],
)
def test_a_typed_request_stands_in_its_task(task, prompt):
    tokenizer = tiny_text_lm().tokenizer
    assert tokenizer.decode(chat.prompt_ids(tokenizer, "A cat.", task.preamble)) == f"{prompt}\n<|im_start|>assistant\n"


def test_examples_stand_in_the_task_too():
    told = AROUND.teaching(Preamble("", (Example("A dog.", "Un perro."),)))
    assert [turn["content"] for turn in turns(told)] == ["Into Spanish: A dog. (and nothing else)", "Un perro."]


def test_the_teachers_own_system_turn_stands_for_the_tasks_and_inside_a_user_turn_both_stand():
    assert SYSTEM.teaching(Preamble()) == SYSTEM.preamble
    assert SYSTEM.teaching(Preamble("You translate.")) == Preamble("You translate.")
    assert AROUND.teaching(Preamble("You translate.")) == Preamble(
        "You translate.", (), *("Into Spanish: ", " (and nothing else)")
    )
    assert NO_TASK.teaching(Preamble("Be brief.")) == Preamble("Be brief.")


def test_a_teacher_scores_under_the_task():
    lm = tiny_text_lm()
    plain, told = LocalTeacher(lm), LocalTeacher(lm, system=AROUND.preamble)
    written = LocalTeacher(lm).log_likelihood([AROUND.written("A cat.")], ["Un gato."])
    assert told.log_likelihood(["A cat."], ["Un gato."]) == written != plain.log_likelihood(["A cat."], ["Un gato."])


def test_judges_read_task_and_request_as_one_text():
    assert SYSTEM.written("A cat.") == "Translate what you hear into Spanish.\n\nA cat."
    assert AROUND.written("A cat.") == "Into Spanish: A cat. (and nothing else)"
    assert NO_TASK.written("A cat.") == "A cat."


def test_a_bleu_that_cannot_tell_the_words_apart_is_refused_with_the_one_that_can():
    for language, name in (("es", "bleu"), ("zh", "bleu-zh"), ("ja", "bleu-char")):
        Recipe("r", task=TaskSettings("Translate.", language), align=AlignSettings(reward=name))
        if name != "bleu":
            with pytest.raises(RecipeError, match=rf"align\.reward.*use {name}"):
                Recipe("r", task=TaskSettings("Translate.", language), align=AlignSettings(reward="bleu - deaf"))
            with pytest.raises(RecipeError, match=rf"evaluate\.judges.*use {name}"):
                judged = EvaluateSettings(judges=("chrf", "bleu"))
                Recipe("r", task=TaskSettings("Translate.", language), evaluate=judged)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"prompt": "{} and {}"}, "one place"),
        ({"language": "Spanish"}, "task.language Spanish"),
        ({"language": ""}, "code"),
    ],
)
def test_a_task_that_cannot_work_is_refused(values, says):
    with pytest.raises(RecipeError, match=says):
        TaskSettings(**values)
