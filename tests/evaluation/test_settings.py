"""Settings of the evaluation that cannot work."""

import pytest

from rba.errors import RecipeError
from rba.evaluation.settings import EvaluateSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"judges": ("recall",)},
        {"judges": ("recall", "recall")},
        {"judges": ("recall", "me")},
        {"reward_model": "", "judges": ("recall", "reward-model")},
        {"voices": 0},
        {"dtype": "int8"},
    ],
)
def test_settings_that_cannot_work_are_refused_by_key(wrong):
    with pytest.raises(RecipeError, match=f"evaluate.{next(iter(wrong))}"):
        EvaluateSettings(**wrong)
