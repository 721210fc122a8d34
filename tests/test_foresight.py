"""What a recipe asks for that does not go together is told before the first stage, and for the stages due alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rba.alignment.settings import AlignSettings
from rba.errors import RecipeError
from rba.foresight import check_ahead
from rba.recipe import Recipe
from rba.speech.settings import SpeechSettings


def ahead(settings: AlignSettings, spoken: int, verb: str = "align") -> None:
    check_ahead(Recipe("r", speech=SpeechSettings(voices=spoken), align=settings), {verb})


@pytest.mark.parametrize("method", ["rba-group", "rba-opd", "grpo", "rloo", "tars"])
def test_a_method_that_compares_answers_needs_two_of_them_by_voices_or_by_answers(method):
    compares = AlignSettings(methods=(method,))
    ahead(compares, 2)
    ahead(replace(compares, answers=2), 1)
    ahead(replace(compares, mix=("other",)), 1)
    ahead(compares, 1, "speak")
    one_voice = replace(compares, voices=1)
    for settings, spoken in ((compares, 1), (one_voice, 4), (replace(one_voice, mix=("other",)), 4)):
        with pytest.raises(RecipeError, match=f"{method} compares answers"):
            ahead(settings, spoken)


def test_what_it_lacks_is_said_with_the_keys_that_decide_it():
    says = (
        r"grpo compares answers to an instruction with each other, and here each has only one \(align.answers 1, "
        r"align.voices 1, speech.voices 4\); give it 2 or more answers, or 2 or more voices"
    )
    with pytest.raises(RecipeError, match=says):
        ahead(AlignSettings(voices=1, methods=("sft", "grpo")), 4)
    with pytest.raises(RecipeError, match="lone compares answers"):
        ahead(AlignSettings(methods=("sft",), variants={"lone": {"method": "tars", "voices": 1}}), 4)


def test_methods_that_compare_nothing_learn_from_one_answer():
    alone = AlignSettings(methods=("sft", "kd", "opd", "ppo", "rba-single"))
    ahead(alone, 1)
    ahead(replace(alone, methods=("dpo",), answers=2), 1)
